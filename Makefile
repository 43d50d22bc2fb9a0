# `make help` lists what there is.

.DEFAULT_GOAL := help
.PHONY: help quickstart cluster test fresh lint soak explore simulate autobahn fmt bench audit

help: ## List the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

quickstart: ## Build linkgate and run a gateway, a backend and a chat page on this machine
	@scripts/packages.sh build
	cargo run --locked --release -- quickstart $(ARGS)

cluster: ## Run three nodes as one cluster on an etcd, a Redis and a Kafka of their own, and say what to try
	@scripts/packages.sh test
	@scripts/services.sh
	@scripts/cluster.sh

test: ## Check form and lints, then run all tests, doc tests included
	@scripts/packages.sh test
	@scripts/services.sh
	@scripts/lint.sh
	cargo test --locked --workspace

fresh: ## Follow the README on a clean Debian 12 in a folder, as root; STEPS=build|native|quickstart|test does less
	@scripts/fresh.sh $(STEPS)

lint: ## Check form and lints only
	@scripts/packages.sh test
	@scripts/lint.sh

soak: ## Change the configuration 20 times a second under 2,000 links, for a minute
	@scripts/packages.sh test
	@scripts/services.sh
	LINKGATE_SOAK_LINKS=$${LINKGATE_SOAK_LINKS:-2000} LINKGATE_SOAK_SECONDS=$${LINKGATE_SOAK_SECONDS:-60} \
		cargo test --locked --release --test real_services -- --nocapture soak

explore: ## Go further through the orders of events in a cluster than the tests do: minutes, or hours with EXPLORE=2
	@scripts/packages.sh build
	EXPLORE=$${EXPLORE:-1} RUST_MIN_STACK=67108864 cargo test --locked --release -p linkgate-core --lib cluster::machine -- --nocapture

simulate: ## Run whole nodes in virtual time with SEEDS seeds (2000), FIRST onwards; SEED=n reruns one and prints it
	@scripts/packages.sh test
	SEEDS=$${SEEDS:-2000} cargo test --locked --test simulation whatever -- --nocapture

autobahn: ## Run Autobahn's cases 1 to 10 against the listener, or those that CASES names; CASES=all has compression too
	@scripts/packages.sh build
	@scripts/autobahn.sh $(CASES)

fmt: ## Bring all code into form
	cargo fmt --all

bench: ## Run the benchmarks, or those that BENCH names
	@scripts/packages.sh build
	cargo bench --locked $(if $(BENCH),--bench $(BENCH))

audit: ## Check licenses, advisories and duplicate dependencies (needs cargo-deny)
	@cargo deny --version >/dev/null 2>&1 || { echo "cargo-deny is missing: cargo install --locked cargo-deny" >&2; exit 1; }
	cargo deny --all-features check
