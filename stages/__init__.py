"""One script per DVC stage, named as in dvc.yaml: it reads parameters and files, and calls `pets`."""
