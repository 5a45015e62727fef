//! Tests that need a process to themselves: they change its limits, or measure its memory.

use std::process::Command;

/// What the parent tells its child, if this is one.
pub fn told() -> Option<String> {
    std::env::var("S3Z_TEST_ALONE").ok()
}

/// Runs the test of this name again, in a process where it is alone and `told` says `what`; it must pass there.
pub fn run(name: &str, what: &str) {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args([name, "--exact", "--nocapture"]).env("S3Z_TEST_ALONE", what);
    let output = child.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

/// The most memory this process ever had, in bytes.
pub fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() << 10
}
