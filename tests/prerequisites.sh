#!/usr/bin/env bash
# Looks for what building and testing needs, names what is missing and the command that installs it, and runs that command
# where root and apt-get are at hand. With the argument `demo` or `demo-vault`, only for what these need.
set -euo pipefail

purpose=${1:-test}
packages=()
remedies=()

# need PACKAGE TEST…: PACKAGE is missing unless the test succeeds.
need() {
    local package=$1
    shift
    "$@" >/dev/null 2>&1 || packages+=("$package")
}

java_is_17_or_later() {
    local java=java version
    if [ -n "${JAVA_HOME:-}" ]; then java=$JAVA_HOME/bin/java; fi
    version=$("$java" -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p' | head -n 1)
    [ "${version:-0}" -ge 17 ]
}

# Vault is built from its module, unless it is there.
go_is_1_25_or_later() {
    local version minor
    version=$(go env GOVERSION) || return 1
    minor=${version#go1.}
    [ "${minor%%.*}" -ge 25 ]
}

vault_is_there() {
    [ -n "${KASTELLAN_TEST_VAULT:-}" ] || command -v vault >/dev/null \
        || [ -x "${XDG_CACHE_HOME:-$HOME/.cache}/kastellan/stack/vault-1.21.0/vault" ]
}

jdk() {
    # Newer distributions have newer ones only.
    if apt-cache show openjdk-17-jdk-headless >/dev/null 2>&1; then
        echo openjdk-17-jdk-headless
    else
        echo default-jdk-headless
    fi
}

need gcc command -v cc
need make command -v make
if [ "$purpose" = test ]; then
    # librdkafka is built with these.
    need pkg-config command -v pkg-config
    need libssl-dev pkg-config --exists openssl
    need zlib1g-dev pkg-config --exists zlib
fi
need git command -v git
need maven command -v mvn
need jdk java_is_17_or_later
# The age program can be built where there is Go.
need age eval 'command -v age || command -v go'

if [ "$purpose" != demo ] && ! vault_is_there && ! go_is_1_25_or_later 2>/dev/null; then
    remedies+=("Go 1.25 or later, which builds Vault: see https://go.dev/doc/install")
fi

# The same for the Kubernetes API.
go_is_1_26_or_later() {
    local version minor
    version=$(go env GOVERSION) || return 1
    minor=${version#go1.}
    [ "${minor%%.*}" -ge 26 ]
}

kubernetes_is_there() {
    local stack=${XDG_CACHE_HOME:-$HOME/.cache}/kastellan/stack
    [ -n "${KASTELLAN_TEST_KUBE_APISERVER:-}" ] || command -v kube-apiserver >/dev/null \
        || [ -x "$stack/kube-apiserver-1.36.3/kube-apiserver" ]
}

if [ "$purpose" != demo ] && ! kubernetes_is_there && ! go_is_1_26_or_later 2>/dev/null; then
    remedies+=("Go 1.26 or later, which builds kube-apiserver and etcd: see https://go.dev/doc/install")
fi

command -v cargo >/dev/null || remedies+=("Rust 1.95 or later: see https://rustup.rs")
if command -v cargo >/dev/null && [ "$purpose" = test ]; then
    cargo fmt --version >/dev/null 2>&1 || remedies+=("rustup component add rustfmt")
    cargo clippy --version >/dev/null 2>&1 || remedies+=("rustup component add clippy")
fi

if [ ${#packages[@]} -gt 0 ]; then
    if command -v apt-get >/dev/null && [ "$(id -u)" -eq 0 ]; then
        packages=("${packages[@]/#jdk/$(jdk)}")
        echo "installing what is missing: ${packages[*]}" >&2
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" >&2
    else
        remedies+=("apt-get install -y ${packages[*]/#jdk/openjdk-17-jdk-headless}")
    fi
fi

if [ ${#remedies[@]} -gt 0 ]; then
    {
        echo "Something that this needs is missing. Please run:"
        printf '    %s\n' "${remedies[@]}"
    } >&2
    exit 1
fi
