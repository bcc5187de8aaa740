#!/bin/sh
# The complete pipeline on the built-in synthetic pets, as a Prefect flow: in a scratch copy of the files that git
# knows, with a git repository, a DVC cache and a Prefect server of its own, so that nothing else is touched. Run it
# by `make demo`.
set -eu
scratch=$1
mkdir -p "$scratch"
# What an earlier demo made stays, so that a second one runs only what has changed.
git ls-files -z --cached --others --exclude-standard | tar --null -T - -cf - | tar -xf - -C "$scratch"
cd "$scratch"
[ -d .git ] || git init -q
# Few and small galleries, so that a first look takes about three minutes on two cores.
python -m stages.params 'run.datasets=[sample]' 'run.backbones=[efficientnet_lite0]' 'run.heads=[linear, knn]' \
    datasets.sample.per_breed=12 datasets.sample.size=224 attack.gallery=2 attack.minimum_norm_steps=8 \
    attack.curve.images=6 'attack.curve.epsilons=[0.5/255, 1/255]' attack.transfer.images=3 \
    'ideal.classes=[cat, zebra]' 'ideal.ablation=[]' ideal.method.coarse_steps=64 ideal.method.fine_steps=12 \
    'ideal_breeds.breeds=[cat, dog]' features.pictures=1 features.searched=64 gradcam.mistakes=6 tricks.seeds=5 \
    'tricks.recipes=[zeros, he, standardized, momentum, adam, one_cycle, batch_norm, dropout, early_stopping]'
git add --all
git -c user.name=demo -c user.email=demo@localhost commit -q --allow-empty -m "The demo's parameters"
unset PREFECT_API_URL
PREFECT_HOME=$(pwd)/.prefect python -m flows.pipeline
echo
echo "Done: synthetic cats and dogs, drawn by a program, not photographs. Now open"
echo "  $(pwd)/reports/index.html"
