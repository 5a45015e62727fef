"""What the tests share: servers, data, the command as a child process."""
