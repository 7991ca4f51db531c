"""`PlaybookTuner` and what a search needs around the playbook."""
