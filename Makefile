# sbx: build, try, test, measure. Everything here works for an ordinary user; started
# as root, whatever starts sandboxes runs as the user sbxtest, which is made for it.

VERSION ?= 0.1.0-dev
PREFIX  ?= /usr/local
BIN     ?= bin

export PATH        := $(PATH):/usr/local/go/bin:/usr/sbin:/sbin
export CGO_ENABLED := 0
# containers/storage and rootlesskit drag in drivers we never use; each would cost
# start-up time, and some need cgo.
TAGS    := containers_image_openpgp,exclude_graphdriver_btrfs,exclude_graphdriver_zfs,no_vpnkit,no_gvisortapvsock,no_lxcusernic
GOBUILD := go build -trimpath -tags $(TAGS) -ldflags "-s -w -X sbx/api.Version=$(VERSION)"

.PHONY: build run test check check-root test-build check-build test-matrix check-matrix test-vm check-vm bench measure lint man install uninstall dist-tree dist deb check-dist clean help

build: ## bin/sbx and bin/sbxd, both static
	@command -v go >/dev/null || { contrib/setup build; exit 1; }
	$(GOBUILD) -o $(BIN)/ ./cmd/sbx ./cmd/sbxd

run: ## install what is missing, build, show a sandbox at work
	contrib/setup run
	$(MAKE) --no-print-directory build
	contrib/as-user contrib/demo

test: ## every test, as an unprivileged user
	contrib/setup test
	contrib/as-user make --no-print-directory check
	@test "$$(id -u)" != 0 || $(MAKE) --no-print-directory check-root

# Runs as root, after check, which makes the root file system: what root's own sbx does.
check-root: build
	user=$$(getent passwd "$${SBX_TEST_USER:-sbxtest}" | cut -d: -f6) && \
	  SBX_TEST_BUSYBOX="$$user/.cache/sbx-test/busybox.tar" SBX_BIN=$(abspath $(BIN)) SBX_MUST=busybox,overlay \
	  go test -tags $(TAGS) -count=1 -run '^TestAsRoot' $(TESTFLAGS) ./tests

# Runs as the unprivileged user. TESTFLAGS goes to go test.
check: build lint
	@test "$$(id -u)" != 0 || { echo "sbx is for ordinary users and is tested as one: use make test"; exit 1; }
	roots=$$(contrib/testroots) && eval "export $$roots" && \
	  SBX_BIN=$(abspath $(BIN)) go test -tags $(TAGS) -count=1 -timeout 9m $(TESTFLAGS) ./...

test-build: ## the slow tests of build: every Dockerfile case by buildah too, real Dockerfiles
	contrib/setup test
	contrib/as-user make --no-print-directory check-build

# Runs as the unprivileged user.
check-build: build
	roots=$$(contrib/testroots) && eval "export $$roots" && debs=$$(contrib/testdebs) && eval "export $$debs" && \
	  SBX_MUST="$${SBX_MUST:+$$SBX_MUST,}buildah,aptmirror,go" SBX_BIN=$(abspath $(BIN)) \
	  go test -tags $(TAGS) -count=1 -timeout 20m -run '^TestBuild(Cases|Oracle|Real)' $(TESTFLAGS) ./tests

test-matrix: ## the short way through sbx on machines that differ in ids, session, runtime directory, way out, overlay; table
	contrib/setup test
	contrib/as-user make --no-print-directory check-matrix

# Runs as the unprivileged user.
check-matrix: build
	roots=$$(contrib/testroots) && eval "export $$roots" && SBX_TEST_MATRIX=all SBX_BIN=$(abspath $(BIN)) \
	  go test -tags $(TAGS) -count=1 -timeout 20m -v -run '^TestMatrix$$' $(TESTFLAGS) ./tests

test-vm: ## sbx installed in a virtual machine with systemd: every end-to-end test, logins, reboots
	contrib/setup vm
	contrib/as-user make --no-print-directory check-vm

# Runs as the unprivileged user. SBX_VM_RUN chooses end-to-end tests, TESTFLAGS the others.
check-vm: build
	rm -rf $(BIN)/vm
	$(MAKE) --no-print-directory install DESTDIR=$(BIN)/vm/root PREFIX=/usr/local
	for p in tests cgroup cgroup/delegate slirp slirp/ports userns/owners; do \
	  go test -c -tags $(TAGS) -o $(BIN)/vm/$${p##*/}.test ./$$p || exit; done
	roots=$$(contrib/testroots) && eval "export $$roots" && \
	  trap 'tests/vm/vm down' EXIT && trap 'exit 1' INT TERM HUP && \
	  SBX_VM=$(abspath $(BIN))/vm go test -count=1 -timeout 80m -v $(TESTFLAGS) ./tests/vm

bench: ## sbx beside bwrap (and podman, crun where installed); table, and bin/out/bench.json
	contrib/setup test
	contrib/bench/outside sh -c \
	  'contrib/as-user make --no-print-directory measure BENCHFLAGS="$${SBX_BENCH_OUTSIDE:+--outside $$SBX_BENCH_OUTSIDE} $(BENCHFLAGS)"'

# Runs as the unprivileged user. BENCHFLAGS goes to the benchmark: see contrib/bench.
measure: build
	mkdir -p $(BIN)/out
	go build -o $(BIN)/bench ./contrib/bench
	roots=$$(contrib/testroots) && eval "$$roots" && \
	  $(BIN)/bench --bin $(abspath $(BIN)) --rootfs "$$SBX_TEST_BUSYBOX" --json $(BIN)/out/bench.json $(BENCHFLAGS)

lint: ## format, vet, layers, sizes of functions and files
	@bad=$$(gofmt -l $$(ls -d */ | grep -vx -e bin/ -e vendor/)); \
	  test -z "$$bad" || { echo "gofmt -w $$bad"; exit 1; }
	go vet -tags $(TAGS) ./...
	go test -tags $(TAGS) -count=1 -run '^TestArch' ./tests

man: build ## bin/man/*.1, from the commands' own help
	contrib/mkman $(BIN)/sbx $(BIN)/man

# What make install puts below PREFIX.
INSTALLED := bin/sbx libexec/sbx/sbxd share/man/man1/sbx.1 share/man/man1/sbx-*.1 \
	share/bash-completion/completions/sbx share/zsh/site-functions/_sbx share/fish/vendor_completions.d/sbx.fish

install: man ## into PREFIX (default /usr/local); DESTDIR is honoured
	install -D -m 755 $(BIN)/sbx $(DESTDIR)$(PREFIX)/bin/sbx
	install -D -m 755 $(BIN)/sbxd $(DESTDIR)$(PREFIX)/libexec/sbx/sbxd
	install -d $(DESTDIR)$(PREFIX)/share/man/man1
	install -m 644 $(BIN)/man/*.1 $(DESTDIR)$(PREFIX)/share/man/man1
	for shell in bash zsh fish; do $(BIN)/sbx completion $$shell >$(BIN)/completion.$$shell || exit; done
	install -D -m 644 $(BIN)/completion.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/sbx
	install -D -m 644 $(BIN)/completion.zsh $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_sbx
	install -D -m 644 $(BIN)/completion.fish $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/sbx.fish

uninstall: ## what install has put there
	cd $(DESTDIR)$(PREFIX) && rm -f $(INSTALLED)

# What is given away does not depend on who builds it, where, or when. Only that: to sbx build,
# and to tests of it, the variable means something too.
dist-tree dist deb check-dist: export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || stat -c %Y CHANGELOG.md)
ARCHES ?= amd64 arm64
DIST    = $(abspath $(BIN))/dist

# For each of ARCHES, in DIST/ARCH, what install puts below PREFIX, with documents and licences.
dist-tree:
	rm -rf $(DIST)
	$(MAKE) --no-print-directory install DESTDIR=$(DIST)/common PREFIX=
	contrib/dist/documents $(DIST)/common/share/doc/sbx
	for arch in $(ARCHES); do \
	  cp -R $(DIST)/common $(DIST)/$$arch && \
	  export GOOS=linux GOARCH=$$arch GOAMD64=v1 GOARM64=v8.0 && \
	  $(GOBUILD) -buildvcs=false -o $(DIST)/$$arch/bin/sbx ./cmd/sbx && \
	  $(GOBUILD) -buildvcs=false -o $(DIST)/$$arch/libexec/sbx/sbxd ./cmd/sbxd && \
	  contrib/dist/licences $(TAGS) >$(DIST)/$$arch/share/doc/sbx/THIRD-PARTY-LICENCES || exit; done

dist: dist-tree ## bin/dist: a tarball for each of ARCHES (amd64 arm64), to unpack at a prefix; SHA256SUMS
	for arch in $(ARCHES); do contrib/dist/pack $(DIST)/$$arch sbx-$(VERSION)-linux-$$arch $(DIST) || exit; done
	cd $(DIST) && sha256sum *.tar.gz >SHA256SUMS && cat SHA256SUMS

deb: dist-tree ## bin/dist: a Debian package for each of ARCHES
	for arch in $(ARCHES); do contrib/deb/build $(DIST)/$$arch $$arch $(VERSION) $(DIST) || exit; done

check-dist: ## dist and deb twice, in two places: the same bytes? Asks lintian, runs arm64 by qemu-user; takes minutes
	contrib/setup dist
	contrib/dist/check $(DIST) '$(ARCHES)'

clean: ## what was built here
	rm -rf $(BIN)

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST)
