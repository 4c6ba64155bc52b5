import numpy as np
import pytest
import torch

from tests.train.engine.fixtures import small_model, small_recipe
from train.engine.optim import build_optimizer, rate_factor


def test_norms_and_biases_do_not_decay():
    optimizer = build_optimizer(small_model(batch_norm=True), small_recipe("weight_decay=0.1").training)
    decay = {p.ndim: group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert decay == {4: 0.1, 2: 0.1, 1: 0.0}


def test_schedules_begin_peak_and_end_as_their_names_say():
    def factors(name, warmup=5):
        return [rate_factor(name, step, warmup, 50) for step in range(50)]

    for name in ("cosine", "constant", "plateau"):
        assert factors(name)[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert set(factors("constant")[5:]) == set(factors("plateau")[5:]) == {1.0}
    cooled = factors("cosine")[5:]
    assert cooled == sorted(cooled, reverse=True)
    assert rate_factor("cosine", 50, 5, 50) == pytest.approx(0, abs=1e-9)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1)
    theirs = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1.0, total_steps=50, cycle_momentum=False)
    expected = []
    for _ in range(50):
        expected.append(theirs.get_last_lr()[0])
        optimizer.step()
        theirs.step()
    cycle = factors("one-cycle")
    assert cycle[0] == pytest.approx(expected[0])
    assert max(cycle) == 1.0
    assert cycle[-1] == pytest.approx(expected[-1])
    assert abs(int(np.argmax(cycle)) - int(np.argmax(expected))) <= 1
