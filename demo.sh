#!/bin/sh
# The whole pipeline on the built-in drawn pets, as a Prefect flow: in a scratch copy of the files that git knows,
# with a git repository, a DVC cache and a Prefect server of its own, so that nothing else is touched. Run it by
# `make demo`.
set -eu
scratch=$1
mkdir -p "$scratch"
# What an earlier demo made stays, so that a second one runs only what has changed.
git ls-files -z --cached --others --exclude-standard | tar --null -T - -cf - | tar -xf - -C "$scratch"
cd "$scratch"
[ -d .git ] || git init -q
python -m stages.params 'run.datasets=[sample]' 'run.backbones=[efficientnet_lite0]' 'run.heads=[linear, knn, prototype]'
git add --all
git -c user.name=demo -c user.email=demo@localhost commit -q --allow-empty -m "The demo's parameters"
unset PREFECT_API_URL
PREFECT_HOME=$(pwd)/.prefect python -m flows.pipeline
echo
echo "Done: drawn cats and dogs, not photographs. Now open"
echo "  $(pwd)/reports/index.html"
