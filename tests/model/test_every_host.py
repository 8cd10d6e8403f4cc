"""What must hold on every host, with the same code."""

import torch

from tiny_hosts import Setup

ASK = [("What moves?", None)]
LONGER = [("Which way does the red ball move, and how often does it stop?", None)]


def test_a_padded_batch_is_its_samples(host_setup: Setup) -> None:
    together = host_setup.processor.encode(host_setup.samples, [ASK, LONGER])
    assert host_setup.samples[0].num_intervals != host_setup.samples[1].num_intervals
    assert not together["attention_mask"][0, 0]
    with torch.no_grad():
        logits = host_setup.model(**together).logits
        for index, (sample, turns) in enumerate(zip(host_setup.samples, [ASK, LONGER], strict=True)):
            alone = host_setup.model(**host_setup.processor.encode([sample], [turns])).logits
            torch.testing.assert_close(logits[index, -alone.shape[1] :], alone[0], rtol=1e-4, atol=1e-5)


def test_decoding_with_the_cache_is_computing_all_again(host_setup: Setup) -> None:
    inputs = host_setup.processor.encode(host_setup.samples, [ASK, LONGER])
    generated = host_setup.model.generate(**inputs, max_new_tokens=4, min_new_tokens=4, do_sample=False)
    ids, positions, mask = inputs["input_ids"], inputs["position_ids"], inputs["attention_mask"]
    for step in range(4):
        given = {**inputs, "input_ids": ids, "position_ids": positions, "attention_mask": mask}
        with torch.no_grad():
            scores = host_setup.model(**given).logits[:, -1]
        end = host_setup.model.network.generation_config.eos_token_id
        scores[:, end] = -torch.inf
        assert torch.equal(generated[:, inputs["input_ids"].shape[1] + step], scores.argmax(-1))
        ids = torch.cat([ids, scores.argmax(-1, keepdim=True)], dim=1)
        mask = torch.cat([mask, mask[:, -1:]], dim=1)
        positions = torch.cat([positions, positions[..., -1:] + 1], dim=-1)
