# Coffre. `make` lists what there is.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PREFIX ?= /usr
SYSCONFDIR ?= /etc
UNITDIR ?= $(PREFIX)/lib/systemd/system
DESTDIR ?=
PRODUCTS := coffred coffre-broker coffre
# A folder of its own, so that both builds can go on at the same time.
SHIPPED := .build/shipped
RELEASE := $(SHIPPED)/release
SHIP := swift build -c release --static-swift-stdlib --scratch-path $(SHIPPED)
VENV := .cache/venv

TEST_ENVIRONMENT = COFFRE_TEST_BAO="$(CURDIR)/$(VENV)/bin/bao" \
    COFFRE_TEST_PYTHON="$(CURDIR)/$(VENV)/bin/python" COFFRE_TEST_RELEASE="$(CURDIR)/$(RELEASE)"

# One build at a time, whatever -j says.
.NOTPARALLEL:
.PHONY: help run test install deps test-deps build driver debug builds lint units bench bench-audit bench-anomaly bench-connections bench-oauth soak clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 22

run: deps build ## start an evaluation vault in the foreground; Ctrl-C stops it
	@Tests/Scripts/run.sh

test: test-deps lint builds units ## install what tests need, build, run everything
	@echo "== unit tests"
	@$(TEST_ENVIRONMENT) swift test --skip-build --skip '^IntegrationTests\.'
	@echo "== integration tests, in two lanes: real daemons, servers, clients and a real systemd"
	@$(TEST_ENVIRONMENT) Tests/Scripts/integration.sh

deps: ## install the Debian packages that building needs
	@Tests/Scripts/deps.sh build

test-deps: deps
	@Tests/Scripts/deps.sh test

build: ## release binaries with the Swift runtime inside
	@for product in $(PRODUCTS); do \
	    echo "== release build: $$product (the first takes minutes)"; \
	    $(SHIP) --product $$product; \
	done

driver:
	@echo "== release build: coffre-log-driver, which tests run by the ten thousand"
	$(SHIP) --product coffre-log-driver

debug:
	@echo "== debug build with tests (the first takes minutes)"
	swift build --build-tests --explicit-target-dependency-import-check error

builds:
	@Tests/Scripts/builds.sh

lint: ## formatting
	@echo "== lint"
	swift format lint --strict --parallel --recursive Package.swift Sources Tests

units:
	@Tests/Scripts/check_units.sh

install: ## put everything in place below DESTDIR
	@test -x $(RELEASE)/coffred || { echo "build first: make build" >&2; exit 1; }
	install -d "$(DESTDIR)$(PREFIX)/bin" "$(DESTDIR)$(PREFIX)/sbin" "$(DESTDIR)$(UNITDIR)" \
	    "$(DESTDIR)$(PREFIX)/lib/sysusers.d" "$(DESTDIR)$(PREFIX)/lib/tmpfiles.d" "$(DESTDIR)$(SYSCONFDIR)/coffre" \
	    "$(DESTDIR)$(PREFIX)/share/coffre/policies" "$(DESTDIR)$(PREFIX)/share/coffre/oauth-redirect" "$(DESTDIR)$(PREFIX)/share/man/man1" \
	    "$(DESTDIR)$(PREFIX)/share/man/man5" "$(DESTDIR)$(PREFIX)/share/man/man8" \
	    "$(DESTDIR)$(PREFIX)/share/bash-completion/completions" "$(DESTDIR)$(PREFIX)/share/zsh/vendor-completions" \
	    "$(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d"
	install -s -m 755 $(RELEASE)/coffre "$(DESTDIR)$(PREFIX)/bin/coffre"
	install -s -m 755 $(RELEASE)/coffred "$(DESTDIR)$(PREFIX)/sbin/coffred"
	install -s -m 755 $(RELEASE)/coffre-broker "$(DESTDIR)$(PREFIX)/sbin/coffre-broker"
	install -m 644 systemd/*.service systemd/*.socket systemd/*.timer "$(DESTDIR)$(UNITDIR)/"
	install -m 644 systemd/coffre.sysusers.conf "$(DESTDIR)$(PREFIX)/lib/sysusers.d/coffre.conf"
	install -m 644 systemd/coffre.tmpfiles.conf "$(DESTDIR)$(PREFIX)/lib/tmpfiles.d/coffre.conf"
	for file in coffre.toml broker.toml; do \
	    test -e "$(DESTDIR)$(SYSCONFDIR)/coffre/$$file" \
	        || install -m 644 systemd/$$file "$(DESTDIR)$(SYSCONFDIR)/coffre/$$file"; \
	done
	install -m 644 policies/*.hcl "$(DESTDIR)$(PREFIX)/share/coffre/policies/"
	install -m 644 systemd/oauth-redirect.nginx.conf "$(DESTDIR)$(PREFIX)/share/coffre/"
	install -m 644 systemd/oauth-redirect/*.html "$(DESTDIR)$(PREFIX)/share/coffre/oauth-redirect/"
	install -m 644 Sources/coffre/coffre.1 "$(DESTDIR)$(PREFIX)/share/man/man1/"
	install -m 644 Sources/coffred/coffre.toml.5 "$(DESTDIR)$(PREFIX)/share/man/man5/"
	install -m 644 Sources/coffred/coffred.8 Sources/coffre-broker/coffre-broker.8 "$(DESTDIR)$(PREFIX)/share/man/man8/"
	$(RELEASE)/coffre --generate-completion-script bash > "$(DESTDIR)$(PREFIX)/share/bash-completion/completions/coffre"
	$(RELEASE)/coffre --generate-completion-script zsh > "$(DESTDIR)$(PREFIX)/share/zsh/vendor-completions/_coffre"
	$(RELEASE)/coffre --generate-completion-script fish > "$(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/coffre.fish"

bench: test-deps build ## measure against OpenBao on this machine
	@$(VENV)/bin/python Tests/Scripts/bench.py --bao $(VENV)/bin/bao --release $(RELEASE)

bench-audit: test-deps ## measure the audit log: ten million records, or RECORDS=N; three verifiers
	$(SHIP) --product audit-bench
	@go=$$(mktemp -d); trap 'rm -rf "$$go"' EXIT; \
	    (cd Tests/Scripts/verify_log && GO111MODULE=off GOPATH=/usr/share/gocode go build -o "$$go/verify_log"); \
	    python3 Tests/Scripts/bench_audit.py --release $(RELEASE) --records $(or $(RECORDS),10000000) --place .cache \
	        --go "$$go/verify_log" --python

bench-anomaly: build ## measure the anomaly engine: records a second, a million identities, memory of each
	@python3 Tests/Scripts/bench_anomaly.py --release $(RELEASE) --place .cache

bench-connections: test-deps build ## measure logins of a real PostgreSQL against the bare SQL they need; about 12 minutes
	@python3 Tests/Scripts/bench_connections.py --release $(RELEASE)

bench-oauth: test-deps build ## measure hand-outs of cached access tokens, and the broker's memory over 10,000 refreshes
	@python3 Tests/Scripts/bench_oauth.py --release $(RELEASE)

soak: test-deps build driver debug ## long runs: every bit and call of larger logs, 100 kills, thread sanitizer
	$(TEST_ENVIRONMENT) COFFRE_SOAK=1 COFFRE_SOAK_RECORDS=$(or $(RECORDS),300) \
	    swift test --skip-build --no-parallel \
	    --filter 'LogTortureTests|VerifierTests|ParserDifferentialTests|OAuthKillTests|aFloodOfRefusalsIsCountedExactly'
	swift test --sanitize=thread --scratch-path .build-soak

clean: ## remove what was built
	rm -rf .build .build-* .cache
