#!/usr/bin/env bash
# Installs what the tests use besides the .NET SDK: redis-server, foreign clients from npm. Does nothing where all is there.
set -euo pipefail
cd "$(dirname "$0")/.."
need() { echo "setup-tests: $1" >&2; exit 1; }
command -v dotnet >/dev/null || need "the .NET 10 SDK is missing"
command -v node >/dev/null && command -v npm >/dev/null || need "Node.js 18 or newer with npm is missing"
command -v curl >/dev/null || need "curl is missing"
if ! command -v redis-server >/dev/null; then
  command -v apt-get >/dev/null && { apt-get install -y redis-server || { apt-get update && apt-get install -y redis-server; }; } >/dev/null || need "redis-server is missing (on Debian: apt-get install redis-server)"
fi
# The copy of the lock file stands there once all is installed: what a run left that was broken off is not taken for whole.
installed=tests/clients/node_modules/.installed
if ! cmp -s tests/clients/package-lock.json "$installed"; then
  install() { npm ci --prefix tests/clients --no-audit --no-fund; }
  install || install || need "npm could not install the test clients"
  mkdir -p "$(dirname "$installed")" && cp tests/clients/package-lock.json "$installed"
fi
