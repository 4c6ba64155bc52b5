import pytest

from train.config.decision_rule import check_rule


@pytest.mark.parametrize(
    "rule", ["argmax", "youden", "youden-worst", "sensitivity>=0.95", "sensitivity>=1.0", "specificity>=0.9"]
)
def test_a_rule_is_taken_as_it_is(rule):
    assert check_rule(rule) == rule


@pytest.mark.parametrize(
    "text", ["", "sensitivity", "sensitivity>=2.0", "sensitivity>=0.95 ", "specificity>0.9", "worst"]
)
def test_anything_else_is_refused_with_what_is_allowed(text):
    with pytest.raises(ValueError, match=r'"argmax", "youden", "youden-worst", or "sensitivity>=0.95" or "specif'):
        check_rule(text)
