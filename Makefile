# What each target is for stands in CONTRIBUTING.md.
GO ?= go
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
QEMU_PKGS := ./internal/asm/... ./internal/cpufeat/... ./canon/... ./shardmap/...
# One event stream, the same digest everywhere.
SAME_BYTES := TestSameBytes ./pipeline

.PHONY: check test lint race test-purego test-paths test-oracle test-386 test-arm64 test-s390x gen gen-check fuzz bench bench-record gate gate-ci crash fleet tune release-perf

check: lint test race gen-check

test:
	$(GO) test ./...

lint:
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); echo 'not gofmt-ed'; exit 1; }
	$(GO) vet ./...
	$(GO) run $(STATICCHECK) ./...

race:
	$(GO) test -race ./...

test-purego:
	$(GO) test -tags purego $(QEMU_PKGS) ./pipeline .

test-paths:
	for path in generic sse41 avx2; do RON_ACC_CPU=$$path $(GO) test -count=1 ./canon && RON_ACC_CPU=$$path $(GO) test -count=1 -run $(SAME_BYTES) || exit 1; done

test-oracle:
	cd testing/performance/oracle && $(GO) vet ./... && $(GO) test ./...

test-386:
	GOARCH=386 CGO_ENABLED=0 $(GO) test $(QEMU_PKGS)
	GOARCH=386 CGO_ENABLED=0 $(GO) test -run $(SAME_BYTES)

test-arm64:
	GOARCH=arm64 CGO_ENABLED=0 $(GO) test -exec qemu-aarch64-static $(QEMU_PKGS)
	GOARCH=arm64 CGO_ENABLED=0 $(GO) test -exec qemu-aarch64-static -run $(SAME_BYTES)

test-s390x:
	GOARCH=s390x CGO_ENABLED=0 $(GO) test -exec qemu-s390x-static $(QEMU_PKGS)
	GOARCH=s390x CGO_ENABLED=0 $(GO) test -exec qemu-s390x-static -run $(SAME_BYTES)

gen:
	cd gen && $(GO) run . -generate

gen-check:
	cd gen && $(GO) test ./...

fuzz:
	.ci/fuzz 30s

bench:
	$(GO) run ./cmd/benchrig bench

bench-record:
	cd testing/performance && $(GO) run ./cmd/compare record growth

gate:
	$(GO) run ./cmd/benchrig gate --short --against HEAD~1 --waivers testing/performance/waivers.json

gate-ci:
	.ci/gate

# What each release archives: VERSION=v1.2.3 HOST=name. It takes an hour; MINS=0.2 shortens its three long runs.
release-perf:
	.ci/release-perf '$(VERSION)' '$(HOST)' $(MINS)

crash:
	$(GO) run ./cmd/benchrig crash --iterations 1000

tune:
	$(GO) run ./internal/asm/tune

fleet:
	BENCHRIG_LONG=1 $(GO) test -run 'TestFleet|TestCluster' -v ./pipeline/export/jetstream
