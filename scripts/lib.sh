# Shared by the scripts in this folder; sourced, not run.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
min_rust=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$root/Cargo.toml")

say() { printf '\n== %s\n' "$*" >&2; }
fail() { printf 'error: %s\n' "$1" >&2; [ $# -lt 2 ] || printf 'hint: %s\n' "$2" >&2; exit 1; }

# The demo and the tests build the same profile into the same folder, so whichever comes second finds the
# dependencies built. On a CI machine the clone is thrown away, so what is built lies outside of it.
if [ -z "${CARGO_TARGET_DIR:-}" ] && [ "${CI:-}" = true ]; then
  CARGO_TARGET_DIR=$HOME/.cache/highwater/target
fi
CARGO_TARGET_DIR=$(realpath -m "${CARGO_TARGET_DIR:-$root/target}")
export CARGO_TARGET_DIR

# A setting meant for somebody's own pipeline must not reach the demo or the tests.
forget_settings() {
  local name
  for name in $(compgen -e HIGHWATER__ || true); do unset "$name"; done
  unset HIGHWATER_CONFIG HIGHWATER_CLOCK RUST_LOG
}

# need COMMAND PACKAGE…: installs Debian packages unless the command is there.
need() {
  local command=$1
  shift
  ! command -v "$command" >/dev/null || return 0
  command -v apt-get >/dev/null || fail "\`$command\` is missing" "install it with your system's package manager"
  local sudo=()
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || fail "\`$command\` is missing" "as root: apt-get install $*"
    sudo=(sudo)
  fi
  say "installing $*"
  "${sudo[@]}" apt-get update -qq >&2
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >&2
}

# venv FOLDER REQUIREMENT…: a Python of its own with these packages; one that is there is kept.
venv() {
  local folder=$1
  shift
  need python3 python3
  [ -x "$folder/bin/pip" ] || python3 -m venv "$folder" 2>/dev/null || { need no-such-command python3-venv; python3 -m venv "$folder"; }
  "$folder/bin/pip" install --quiet --disable-pip-version-check "$@"
}

# Rust itself is the one thing that is not installed here: how it comes to a machine is the owner's choice.
need_rust() {
  command -v cargo >/dev/null || PATH=$HOME/.cargo/bin:$PATH
  command -v cargo >/dev/null || fail "Rust is missing" "install Rust $min_rust or newer from https://rustup.rs"
  local have
  have=$(rustc --version | cut -d ' ' -f 2)
  if [ "$(printf '%s\n' "$min_rust" "${have%%-*}" | sort -V | head -n 1)" != "$min_rust" ]; then
    fail "Rust $min_rust or newer is needed, and this is Rust $have" "rustup update stable"
  fi
}

# Dependencies have parts in C, and Rust links with the C compiler.
need_build_tools() {
  need_rust
  need cc gcc libc6-dev
}

# Sets `highwater` to the program's path, built first unless HIGHWATER names one: build [--release]
build() {
  if [ -n "${HIGHWATER:-}" ]; then
    highwater=$HIGHWATER
    return 0
  fi
  need_build_tools
  say "building highwater (the first build compiles all dependencies, which takes minutes)"
  (cd "$root" && cargo build --locked --bin highwater "$@") >&2
  local profile=debug
  [ "${1:-}" != --release ] || profile=release
  highwater=$CARGO_TARGET_DIR/$profile/highwater
}

# Set `gateway` to the path of an S3 server, built the first time, outside of the clone: versitygw serves a folder, MinIO
# is what many have.
need_versitygw() { need_server versitygw github.com/versity/versitygw/cmd/versitygw@v1.8.0 "a minute"; }
need_minio() {
  need_server minio github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c "some minutes"
}

need_server() { # need_server NAME MODULE TIME
  gateway=${XDG_CACHE_HOME:-$HOME/.cache}/highwater/bin/$1
  [ ! -x "$gateway" ] || return 0
  command -v go >/dev/null || PATH=$PATH:/usr/local/go/bin
  need_go
  say "building $1 ($3, once)"
  GOBIN=$(dirname "$gateway") CGO_ENABLED=0 go install "$2" >&2
}

# Go 1.26 or newer, from its own archive where the system has none: Debian's is too old.
need_go() {
  ! go version 2>/dev/null | grep -qE 'go1\.(2[6-9]|[3-9][0-9])' || return 0
  local version=1.26.8 folder=${XDG_CACHE_HOME:-$HOME/.cache}/highwater/go
  PATH=$folder/go/bin:$PATH
  ! go version 2>/dev/null | grep -q "go$version" || return 0
  need curl curl ca-certificates
  say "installing Go $version"
  mkdir -p "$folder"
  local machine=amd64
  [ "$(uname -m)" != aarch64 ] || machine=arm64
  curl -fsSL "https://go.dev/dl/go$version.linux-$machine.tar.gz" | tar xz -C "$folder"
}
