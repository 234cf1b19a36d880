"""How workers are shared out."""

from __future__ import annotations

import pytest

from pipeline.config import RunConfig, load_config
from pipeline.errors import UsageError
from pipeline.execution.plan import plan_workers


@pytest.mark.parametrize("cpus", [1, 2, 3, 8, 64])
def test_every_worker_fits_and_some_cpu_stays_free(cpus: int) -> None:
    for names in ([], ["workers.commit=1"]):
        plan = plan_workers(load_config(None, names), cpus, 0)
        pools = (plan.annotate,) if plan.is_joint else (plan.detect, plan.annotate, plan.commit)
        assert min(pools) >= 1
        assert sum(pools) * plan.cpus_per_worker < cpus
        assert plan.device == "cpu"
        assert plan.threads * plan.workers <= max(cpus, 2)


def test_on_the_cpu_each_worker_does_all_steps_unless_others_are_named() -> None:
    plan = plan_workers(RunConfig(), 8, 0)
    assert (plan.is_joint, plan.workers, plan.annotate, plan.threads) == (True, 8, 8, 1)
    assert plan.line == "8 workers, model on cpu"
    plan = plan_workers(load_config(None, ["workers.annotate=2"]), 8, 0)
    assert (plan.is_joint, plan.annotate, plan.threads) == (True, 2, 4)
    plan = plan_workers(load_config(None, ["workers.detect=3"]), 8, 0)
    assert (plan.is_joint, plan.detect, plan.annotate, plan.commit) == (False, 3, 4, 1)
    assert plan.line == "3 detect and 4 annotate workers, model on cpu"


def test_on_gpus_each_has_one_annotator_and_the_cpus_detect() -> None:
    plan = plan_workers(RunConfig(), 16, 2)
    assert (plan.annotate, plan.annotate_gpus, plan.detect, plan.device) == (2, 1, 13, "cuda")
    assert plan_workers(load_config(None, ["model.device=cpu"]), 16, 2).device == "cpu"


def test_workers_can_be_set() -> None:
    config = load_config(None, ["workers.detect=5", "workers.annotate=3", "workers.commit=2"])
    plan = plan_workers(config, 4, 0)
    assert (plan.detect, plan.annotate, plan.commit) == (5, 3, 2)
    assert 10 * plan.cpus_per_worker < 4


def test_on_a_cluster_that_grows_workers_reserve_what_is_not_there_yet() -> None:
    overrides = ["workers.detect=48", "workers.annotate=4", "workers.commit=4", "workers.cpus=1"]
    plan = plan_workers(load_config(None, overrides), 8, 1)
    assert (plan.detect, plan.annotate, plan.commit, plan.cpus_per_worker, plan.threads) == (48, 4, 4, 1, 1)


def test_cuda_without_a_gpu_is_an_error_and_no_fallback() -> None:
    with pytest.raises(UsageError, match=r"model\.device is cuda, but there is no GPU"):
        plan_workers(load_config(None, ["model.device=cuda"]), 4, 0)


def test_a_detector_on_cuda_shares_the_gpus_with_the_annotators() -> None:
    on_cuda = ["detector.name=insightface", "detector.device=cuda"]
    plan = plan_workers(load_config(None, on_cuda), 16, 2)
    assert (plan.annotate, plan.annotate_gpus, plan.detect) == (2, 0.9, 13)
    # 13 on 2 GPUs are 7 on one of them, beside its annotator.
    assert 0.099 < 7 * plan.detect_gpus <= 0.1
    alone = plan_workers(load_config(None, [*on_cuda, "model.device=cpu"]), 16, 2)
    assert alone.annotate_gpus == 0
    assert 0.99 < alone.detect_gpus * -(-alone.detect // 2) <= 1
    assert plan_workers(RunConfig(), 16, 2).detect_gpus == 0
    with pytest.raises(UsageError, match=r"detector\.device is cuda, but there is no GPU"):
        plan_workers(load_config(None, on_cuda), 4, 0)


def test_models_can_share_a_gpu_with_each_other_and_a_detector() -> None:
    plan = plan_workers(load_config(None, ["workers.annotate_per_gpu=3"]), 16, 2)
    assert (plan.annotate, plan.annotate_gpus, plan.detect) == (6, 0.3333, 9)
    on_cuda = ["detector.name=insightface", "detector.device=cuda", "workers.annotate_per_gpu=2"]
    plan = plan_workers(load_config(None, on_cuda), 16, 2)
    assert (plan.annotate, plan.annotate_gpus) == (4, 0.45)
    assert 2 * plan.annotate_gpus + plan.detect_gpus * -(-plan.detect // 2) <= 1
