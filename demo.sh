#!/bin/sh
# The whole pipeline on the built-in drawn pets: in a scratch copy of the files that git knows, with a git
# repository and a DVC cache of its own, so that the checkout stays as it is. Run it by `make demo`.
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
dvc repro
echo
echo "Done: drawn cats and dogs, not photographs. Now open"
echo "  $(pwd)/reports/index.html"
