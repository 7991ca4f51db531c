"""The playbook: which trials come next, and what is decided from them."""
