# Weir: build, try, test. `make demo` and `make test` are all that a newcomer needs.
GO      ?= go
LDFLAGS := -s -w
FUZZ    ?= 20s
SOAK    ?= 1h
export CGO_ENABLED = 0

.PHONY: build demo test race lint fuzz bench faults soak cover release vulncheck peers generate

build: ## bin/weir, static and stripped
	$(GO) build -trimpath -ldflags "$(LDFLAGS)" -o bin/weir ./cmd/weir

demo: build ## the whole story on this machine: outage, power cut, drain; nothing lost
	bin/weir demo

test: peers lint ## everything CI runs: linters, all tests under the race detector, 32-bit store, cross builds
	CGO_ENABLED=1 $(GO) test -race -timeout 60m ./...
	$(GO) -C core/broker/interop test -timeout 20m ./...
	$(GO) -C bridge/interop mod download || { echo "bridge/interop skipped: nats-server cannot be fetched"; exit 0; }; $(GO) -C bridge/interop test -timeout 20m ./...
	@case "$$(GOARCH=386 $(GO) test -run '^$$' ./storage 2>&1)" in *"exec format error"*) echo "storage on 386 skipped: this kernel runs no 32-bit programs (on arm it ran under an emulator)";; \
	*) echo "GOARCH=386 $(GO) test ./storage/..."; GOARCH=386 $(GO) test -timeout 30m ./storage/...;; esac
	for t in amd64 arm64 arm; do GOARCH=$$t GOARM=6 $(GO) build -o /dev/null ./cmd/weir || exit 1; done

lint: ## vet, staticcheck, formatting, modernisation
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	@test -z "$$($(GO) tool gofumpt -l $$(git ls-files '*.go' | grep -v _gen))" || { $(GO) tool gofumpt -l $$(git ls-files '*.go' | grep -v _gen); exit 1; }
	@test -f go.sum && $(GO) mod verify >/dev/null

fuzz: ## each fuzz target for FUZZ (20s)
	@for p in $$($(GO) list ./...); do for f in $$($(GO) test -list '^Fuzz' $$p | grep ^Fuzz); do \
	  echo "$$p $$f"; $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZ) $$p || exit 1; done; done
	$(GO) -C core/broker/interop test -run '^$$' -fuzz FuzzCodecs -fuzztime $(FUZZ) .

bench: build ## benchmarks of the hot paths; then Weir and Mosquitto by turns (bin/weir bench compare: longer, with medians)
	$(GO) test -run '^$$' -bench . -benchmem ./core/... ./storage/... ./bridge/... ./adapters/...
	@[ -x /usr/sbin/mosquitto ] || { echo "no mosquitto to compare with: make peers"; exit 0; }; bin/weir bench compare --rounds 1 -d 1s

faults: build ## the long fault run: kills and cuts against the real binary and a real upstream; a minute of a fast serial line, garbage, a million Modbus transactions
	WEIR_FAULTS=long $(GO) test -count=1 -timeout 2h -run 'Fault|Kill|Outage|SerialSustained|Garbage' -v ./cmd/weir ./storage ./adapters/serial/... ./adapters/modbus

soak: build ## one process for SOAK (1h) among clients that come and go and devices and an uplink that fail: nothing lost, nothing grows
	WEIR_SOAK=$(SOAK) $(GO) test -count=1 -timeout 0 -run TestSoak -v ./cmd/weir

cover: ## coverage by package
	mkdir -p coverage && $(GO) test -coverprofile coverage/all.out ./... && $(GO) tool cover -func coverage/all.out | tail -1

vulncheck: ## what is known of the modules; needs the network
	$(GO) run golang.org/x/vuln/cmd/govulncheck@v1.1.4 ./...

release: build ## stripped binaries for the supported machines, each with its bill of materials
	for t in amd64 arm64 arm; do GOOS=linux GOARCH=$$t GOARM=6 $(GO) build -trimpath -ldflags "$(LDFLAGS)" -o dist/weir-linux-$$t ./cmd/weir && bin/weir version --sbom dist/weir-linux-$$t > dist/weir-linux-$$t.cdx.json || exit 1; done
	ls -l dist

generate: ## the generated record codecs
	$(GO) generate ./...

peers:
	@.ci/peers
