#!/usr/bin/env bash
# Installs what the tests use besides the .NET SDK: foreign clients of npm, Python's gRPC. Does nothing where all is there.
set -euo pipefail
cd "$(dirname "$0")/.."
need() { echo "setup-tests: $1" >&2; exit 1; }
command -v dotnet >/dev/null || need "the .NET 10 SDK is missing"
command -v node >/dev/null && command -v npm >/dev/null || need "Node.js 18 or newer with npm is missing"
if ! /usr/bin/python3 -c 'import grpc' 2>/dev/null; then
  command -v apt-get >/dev/null || need "Python's grpcio is missing (Debian package python3-grpcio)"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -q && apt-get install -qy python3-grpcio python3-protobuf || need "could not install python3-grpcio"
fi
if [ -f tests/clients/package-lock.json ] && [ tests/clients/package-lock.json -nt tests/clients/node_modules ]; then
  npm ci --prefix tests/clients --no-audit --no-fund && touch tests/clients/node_modules || need "npm could not install the test clients"
fi
