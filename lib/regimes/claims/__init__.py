"""The texts and tolerances of the claims, a TOML file a lesson; `regimes.ledger` reads them."""
