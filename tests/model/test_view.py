"""A view of a network: the host as it was loaded, over the same tensors."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import torch
from accelerate import dispatch_model
from torch import Tensor, nn
from transformers import PreTrainedModel

from himmel.hosts import load_host
from himmel.model.view import share_weights
from tiny_hosts import Setup, host_arguments


def answer(network: PreTrainedModel, setup: Setup) -> Tensor:
    inputs = setup.processor.encode(setup.samples, [[("What moves?", None)]] * 2, motion=False)
    host = setup.model.host
    with torch.no_grad():
        shown = host.vision_inputs(host.image_features(network, inputs.images))
        arguments = {**host_arguments(replace(inputs, images={})), **shown}
        return cast(Tensor, network(**arguments, use_cache=False).logits)


def storage(network: nn.Module) -> dict[str, int]:
    tensors = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    return {name: tensor.data_ptr() for name, tensor in tensors.items()}


def test_a_view_computes_what_the_host_computes_alone(host_setup: Setup) -> None:
    plain = host_setup.model.host.load_network()
    plain.load_state_dict(
        {name.replace(".base_layer.", "."): value for name, value in host_setup.model.network.state_dict().items()},
        strict=False,
    )
    view = share_weights(host_setup.model.network)
    torch.testing.assert_close(answer(view, host_setup), answer(plain, host_setup), rtol=0, atol=0)
    assert not torch.equal(answer(view, host_setup), answer(host_setup.model.network, host_setup))


def test_every_tensor_of_a_view_is_the_networks_own(host_setup: Setup) -> None:
    network = host_setup.model.network
    theirs = {name.replace(".base_layer.", "."): place for name, place in storage(network).items()}
    ours = storage(share_weights(network))
    assert ours == {name: place for name, place in theirs.items() if ".lora_" not in name}


def test_a_network_is_left_as_it_was(host_setup: Setup) -> None:
    network = host_setup.model.network
    modules, before = list(network.modules()), answer(network, host_setup)
    view = share_weights(network)
    view.config._attn_implementation = "eager"
    view.config.get_text_config().hidden_act = "changed"
    assert list(network.modules()) == modules
    assert not set(map(id, modules)) & set(map(id, view.modules()))
    assert network.config._attn_implementation == "sdpa"
    assert network.config.get_text_config().hidden_act != "changed"
    torch.testing.assert_close(answer(network, host_setup), before, rtol=0, atol=0)


def test_all_parts_of_a_view_share_its_configuration(host_setup: Setup) -> None:
    view = share_weights(host_setup.model.network)
    configs = [module.config for module in view.modules() if isinstance(module, PreTrainedModel)]
    text = view.config.get_text_config()
    assert any(config is text for config in configs)
    assert not any(
        config is module.config
        for config in configs
        for module in host_setup.model.network.modules()
        if isinstance(module, PreTrainedModel)
    )


def test_hooks_stay_with_the_network(nano: Setup) -> None:
    seen: list[str] = []
    view = share_weights(nano.model.network)
    taken = view.get_input_embeddings().register_forward_hook(lambda *_: seen.append("view"))
    answer(nano.model.network, nano)
    assert seen == []
    kept = nano.model.network.get_input_embeddings().register_forward_hook(lambda *_: seen.append("network"))
    answer(view, nano)
    assert seen == ["view"]
    assert len(view.get_input_embeddings()._forward_hooks) == 1
    kept.remove()
    taken.remove()


def test_hidden_states_can_be_asked_of_both(host_setup: Setup) -> None:
    """transformers hands them out by hooks that it installs when they are first asked for."""
    network = host_setup.model.network

    def states(asked: PreTrainedModel) -> Any:
        ids = torch.tensor([[5, 6, 7]])
        return asked(input_ids=ids, use_cache=False, output_hidden_states=True).hidden_states

    layers = network.config.get_text_config().num_hidden_layers
    early = share_weights(network)
    assert len(states(network)) == len(states(early)) == len(states(share_weights(network))) == layers + 1


def test_a_network_spread_by_accelerate_can_be_viewed(tiny_host: Callable[[str], str]) -> None:
    host = load_host(tiny_host("internvl"), max_anchor_tokens=12)
    network = host.load_network()
    ids = torch.tensor([[5, 6, 7]])
    with torch.no_grad():
        expected = network(input_ids=ids, use_cache=False).logits
        parts = {"model.vision_tower": "cpu", "model.multi_modal_projector": "cpu", "lm_head": "cpu"}
        places: dict[str, Any] = {**parts, "model.language_model": "cpu"}
        network = cast(PreTrainedModel, dispatch_model(network, places, force_hooks=True))
        view = share_weights(network)
        torch.testing.assert_close(view(input_ids=ids, use_cache=False).logits, expected, rtol=0, atol=0)
        torch.testing.assert_close(network(input_ids=ids, use_cache=False).logits, expected, rtol=0, atol=0)
    assert storage(view) == storage(network)


def test_tensors_outside_parameters_and_buffers_are_shared(nano_folder: str) -> None:
    """Quantised layers keep such."""
    network = load_host(nano_folder).load_network()
    projector = cast(Any, network).model.projector
    projector.scales = {"first": torch.ones(3)}
    view = cast(Any, share_weights(network))
    assert view.model.projector.scales is not projector.scales
    assert view.model.projector.scales["first"] is projector.scales["first"]
