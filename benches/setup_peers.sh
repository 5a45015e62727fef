#!/bin/sh
# Install the clients that s3z is measured against, below ${XDG_CACHE_HOME:-~/.cache}/s3z-bench. Only the benchmark uses
# them: no build and no test needs this script. A client that cannot be installed is left out and shown as absent.
# aria2 and curl come from the system (apt-get install aria2 curl).
set -eu

cache="${XDG_CACHE_HOME:-$HOME/.cache}/s3z-bench"
s5cmd_version=v2.3.0
mkdir -p "$cache/bin"

[ -x "$cache/venv/bin/python" ] || "${PYTHON:-python3}" -m venv "$cache/venv"
for package in boto3 awscrt obstore awscli s3dlio; do
    "$cache/venv/bin/python" -m pip install --quiet --disable-pip-version-check --upgrade "$package" ||
        echo "setup_peers: $package was not installed" >&2
done

if command -v go >/dev/null; then
    # Built from a module of its own: `go install module@version` asks the proxy for more than the version, which not
    # every proxy answers.
    build=$(mktemp -d)
    trap 'rm -rf "$build"' EXIT
    printf 'module peers\n\ngo 1.24\n\nrequire github.com/peak/s5cmd/v2 %s\n' "$s5cmd_version" >"$build/go.mod"
    printf '//go:build tools\n\npackage peers\n\nimport _ "github.com/peak/s5cmd/v2"\n' >"$build/tools.go"
    (
        cd "$build"
        go mod tidy
        go build -o "$cache/bin/s5cmd" -ldflags "-s -w -X github.com/peak/s5cmd/v2/version.Version=$s5cmd_version" \
            github.com/peak/s5cmd/v2
    ) 2>"$build/log" || { tail -3 "$build/log" >&2; echo "setup_peers: s5cmd was not installed" >&2; }
    if [ "${S3Z_BENCH_RCLONE:-1}" = 1 ]; then
        GOBIN="$cache/bin" go install github.com/rclone/rclone@latest 2>"$build/log" ||
            { tail -3 "$build/log" >&2; echo "setup_peers: rclone was not installed" >&2; }
    fi
else
    echo "setup_peers: no go, so neither s5cmd nor rclone" >&2
fi

echo "peers are in $cache"
