"""The table: which recipes it has, how validation decides, and what a broken run leaves of it."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from pets.core.errors import UserError
from pets.tricks import experiment
from pets.tricks.catalogue import BY_NAME, TRICKS, combined, listed
from pets.tricks.experiment import Experiment
from pets.tricks.inputs import scaler
from pets.tricks.recipe import Recipe
from pets.tricks.training import Plan, Variant, train
from tests.tricks.test_training import DATA

PLAN = Plan(epochs=3, batch_size=16, hidden=6, seed=7)


@pytest.fixture(scope="module")
def made() -> Experiment:
    names = [
        *(
            "zeros",
            "xavier",
            "he",
            "centred",
            "standardized",
            "root",
            "momentum",
            "nesterov",
            "adam",
            "adamw",
        ),
        *("lbfgs", "dropout", "high_rate", "centred+momentum"),
    ]
    found = Experiment(listed(names), DATA, PLAN, seeds=3)
    found.run()
    return found


def test_each_trick_is_added_to_plain_and_to_all_the_others(made: Experiment) -> None:
    table = made.effects()
    for network in ("linear", "mlp"):
        rows = table[table["network"] == network]
        assert set(rows.loc[rows["added_to"] == "plain", "trick"]) == {*made.tricks, "all"} | (
            {"mlp"} if network == "mlp" else set()
        )
        others = rows.loc[rows["added_to"] == "others", "trick"].tolist()
        assert [BY_NAME[name].kind for name in others] == ["init", "inputs", "optimizer", "dropout"]
        together = made.trained[network, "all", "all"].recipe
        assert together == combined(Recipe(network), [BY_NAME[name] for name in others])
        without = made.trained[network, "without", others[3]].recipe
        assert without == replace(together, dropout=0.0)


def test_effects_are_the_differences_of_the_runs(made: Experiment) -> None:
    means = made.runs().groupby(["network", "role", "trick"])[["validation", "test"]].mean().to_dict("index")
    for row in made.effects().to_dict("records"):
        if row["trick"] in ("mlp", "all"):
            continue
        to_plain = row["added_to"] == "plain"
        one = means[row["network"], *(("alone", row["trick"]) if to_plain else ("all", "all"))]
        other = means[row["network"], *(("plain", "plain") if to_plain else ("without", row["trick"]))]
        assert row["effect"] == pytest.approx(one["test"] - other["test"], abs=1e-6)
        assert row["validation_effect"] == pytest.approx(one["validation"] - other["validation"], abs=1e-6)


def test_the_rate_is_the_best_on_validation_of_all_that_were_tried(made: Experiment) -> None:
    plain = made.trained["linear", "plain", "plain"]
    powers = range(-5, 3)
    rates = [experiment._rate(power) for power in powers]
    found = train([Variant(Recipe(), rate) for rate in rates], [3, 4, 5], DATA, PLAN, test=False)
    assert plain.rate == rates[int(np.argmax([float(each.score.mean()) for each in found]))]
    assert made.trained["linear", "alone", "dropout"].rate == plain.rate
    assert made.trained["linear", "alone", "high_rate"].rate == 10 * plain.rate


def test_the_test_images_decide_nothing(made: Experiment) -> None:
    shuffled = replace(DATA.test, labels=DATA.test.labels.roll(1))
    again = Experiment(made.tricks, replace(DATA, test=shuffled), PLAN, seeds=3)
    again.run()
    rates = [(key, row.recipe, row.rate) for key, row in made.trained.items()]
    assert rates == [(key, row.recipe, row.rate) for key, row in again.trained.items()]
    assert not made.runs()["test"].equals(again.runs()["test"])


def test_a_recipe_whose_loss_is_never_finite_keeps_its_row() -> None:
    broken = replace(BY_NAME["high_rate"], change={"rate_factor": 1e38, "momentum": 0.9})
    table = Experiment({"high_rate": [broken], "momentum": [BY_NAME["momentum"]]}, DATA, PLAN, seeds=2)
    table.run()
    rows = {(row["network"], row["trick"]): row for row in table.effects().to_dict("records")}
    broken_row = rows["mlp", "high_rate"]
    assert broken_row["failed"] == broken_row["seeds"] == 2
    assert np.isnan(broken_row["effect"])
    assert np.isnan(broken_row["low"])
    assert np.isfinite(rows["mlp", "momentum"]["low"])
    assert not table.runs().query("network == 'mlp' and trick == 'high_rate'")["finite"].any()
    assert table.curves()["epoch"].nunique() == PLAN.epochs


@pytest.mark.parametrize(
    ("recipes", "message"),
    [
        ("some", "write all, or a list"),
        (["momentum", "adan"], "names the unknown trick 'adan'; did you mean 'adam'"),
        (["adam+momentum"], "joins 'adam' and 'momentum' in 'adam+momentum', which contradict each other"),
        (["zeros+he"], "contradict"),
        (["lbfgs+mixup"], "contradict"),
        (["adamw+weight_decay"], "contradict"),
        (["adam", "adam"], "names 'adam' twice"),
        ([], "is empty"),
    ],
)
def test_unknown_and_contradictory_tricks_are_one_line(recipes: str | list[str], message: str) -> None:
    with pytest.raises(UserError, match=r"tricks\.recipes") as error:
        listed(recipes)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_every_trick_alone_changes_the_recipe() -> None:
    plain = Recipe()
    assert len({combined(plain, [each]) for each in TRICKS} | {plain}) == len(TRICKS) + 1
    assert list(listed("all")) == list(BY_NAME)


def test_scaled_inputs_are_what_they_are_called() -> None:
    x = DATA.train.features * torch.linspace(0.1, 3, DATA.train.features.shape[1])
    zero, one = torch.zeros(x.shape[1]), torch.ones(x.shape[1])
    torch.testing.assert_close(scaler("centred", x)(x).mean(0), zero, atol=1e-5, rtol=0)
    torch.testing.assert_close(scaler("standardized", x)(x).std(0), one)
    whitened = scaler("whitened", x)(x)
    torch.testing.assert_close(whitened.T @ whitened / len(x), torch.eye(x.shape[1]), atol=1e-4, rtol=0)
    assert scaler("whitened", x[:5])(x).shape == (len(x), 4)  # five images span four axes
    torch.testing.assert_close(scaler("unit", x)(x).norm(dim=1), torch.ones(len(x)))
    rooted = scaler("root", x)(x)
    torch.testing.assert_close(rooted * rooted.abs(), x)
