"""accelerate and restore: existing models made faster in place, and back."""

import warnings

import keras
import numpy as np
import pytest
from keras_versions import KERAS, in_order

from py_layernorm import LayerNormalization, engines, interchange
from py_layernorm.accelerate import accelerate, restore

KERAS_LAYER = keras.layers.LayerNormalization


class Mine(KERAS_LAYER):
    pass


class MineOfOurs(LayerNormalization):
    pass


class Block(keras.layers.Layer):
    """A composite layer, as in many models: its norm is not in the model's list of layers."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.norm = KERAS_LAYER(name="inner")
        self.dense = keras.layers.Dense(6)

    def build(self, shape):
        self.norm.build(shape)
        self.dense.build(shape)

    def call(self, x):
        return x + self.dense(self.norm(x))


def make_model():
    inputs = keras.Input((5, 6))
    nested = keras.Sequential([keras.Input((5, 6)), KERAS_LAYER(axis=[1, 2], name="nested")])
    x = KERAS_LAYER(name="outer")(inputs)
    x = Block(name="block")(nested(x))
    x = KERAS_LAYER(axis=1, center=False, name="by_column")(x)
    model = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Flatten()(x)))
    random = np.random.default_rng(0)
    model.set_weights([random.normal(size=w.shape) for w in model.get_weights()])
    return model


X = np.random.default_rng(1).normal(size=(8, 5, 6)).astype("float32")
Y = np.random.default_rng(2).normal(size=(8, 2)).astype("float32")


def classes(model):
    return [type(layer) for layer in model._flatten_layers() if isinstance(layer, KERAS_LAYER)]


def test_every_layer_is_reached_and_everything_else_stays(engine):
    model = make_model()
    model.compile(keras.optimizers.Adam(0.01), "mse", jit_compile=False)
    model.fit(X, Y, verbose=0)
    before = {
        "weights": list(map(id, model.weights)),
        "names": [layer.name for layer in model._flatten_layers()],
        "layers": list(map(id, model._flatten_layers())),
        "optimizer": [v.numpy().tolist() for v in model.optimizer.variables],
    }
    predicted = model.predict(X, verbose=0)
    report = accelerate(model)
    assert classes(model) == [LayerNormalization] * 4
    assert len(report.changed) == 4
    assert not report.left
    assert str(report).startswith("4 layers accelerated: ")
    assert before == {
        "weights": list(map(id, model.weights)),
        "names": [layer.name for layer in model._flatten_layers()],
        "layers": list(map(id, model._flatten_layers())),
        "optimizer": [v.numpy().tolist() for v in model.optimizer.variables],
    }
    np.testing.assert_allclose(model.predict(X, verbose=0), predicted, rtol=1e-4, atol=1e-5)
    model.fit(X, Y, verbose=0)
    trained = model.predict(X, verbose=0)

    assert len(restore(model).changed) == 4
    assert classes(model) == [KERAS_LAYER] * 4
    np.testing.assert_allclose(model.predict(X, verbose=0), trained, rtol=1e-4, atol=1e-5)


def test_compiled_functions_are_made_anew(monkeypatch):
    model = make_model()
    model.compile("sgd", "mse")
    model.fit(X, Y, verbose=0)
    model.predict(X, verbose=0)
    accelerate(model)
    called = []
    original = LayerNormalization.call
    monkeypatch.setattr(
        LayerNormalization, "call", lambda self, x: called.append(self.name) or original(self, x)
    )
    model.predict(X, verbose=0)
    assert {"outer", "inner", "nested", "by_column"} <= set(called)
    called.clear()
    model.fit(X, Y, verbose=0)
    assert {"outer", "inner", "nested", "by_column"} <= set(called)


def test_fit_reaches_the_op_when_nothing_is_said_about_xla(monkeypatch):
    from py_layernorm.engines import tensorflow

    served = []
    original = tensorflow.layer_norm
    monkeypatch.setattr(
        tensorflow, "layer_norm", lambda x, *rest: served.append(x.shape) or original(x, *rest)
    )
    model = make_model()
    accelerate(model)
    model.compile("sgd", "mse")  # Keras leaves XLA out on machines without a GPU
    model.fit(X, Y, verbose=0)
    assert len(served) >= 4


def test_a_model_compiled_for_xla_is_told(monkeypatch):
    monkeypatch.setattr(engines, "unavailable_under_xla", lambda: "XLA is too old")
    model = make_model()
    assert accelerate(model).note == ""
    restore(model)
    model.compile("sgd", "mse", jit_compile=True)
    told = str(accelerate(model))
    assert "engine here: XLA is too old. To use the fused engine, compile it again" in told
    restore(model)
    monkeypatch.setattr(engines, "unavailable_under_xla", lambda: None)
    assert accelerate(model).note == ""
    restore(model)
    model.compile("sgd", "mse", jit_compile=False)
    assert accelerate(model).note == ""


def test_gradients_are_the_same(engine):
    import tensorflow as tf

    def gradients(model):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((model(X) - Y) ** 2)
        return [g.numpy() for g in tape.gradient(loss, [w.value for w in model.trainable_weights])]

    model = make_model()
    before = gradients(model)
    accelerate(model)
    for old, new in zip(before, gradients(model), strict=True):
        np.testing.assert_allclose(new, old, rtol=1e-3, atol=1e-5)


def test_the_accelerated_model_saves_and_loads(tmp_path):
    unsorted = KERAS_LAYER(axis=[2, 1])
    model = keras.Sequential([keras.Input((5, 6)), unsorted, KERAS_LAYER(axis=[1, 2])])
    accelerate(model)
    model.save(tmp_path / "ours.keras")
    loaded = keras.models.load_model(tmp_path / "ours.keras")
    assert classes(loaded)[1] is LayerNormalization
    assert classes(loaded)[0] is (LayerNormalization if in_order([2, 1]) else KERAS_LAYER)
    np.testing.assert_array_equal(loaded.predict(X, verbose=0), model.predict(X, verbose=0))
    restore(loaded)
    loaded.save(tmp_path / "theirs.keras")
    theirs = keras.models.load_model(tmp_path / "theirs.keras")
    assert classes(theirs) == [KERAS_LAYER] * 2
    np.testing.assert_allclose(theirs.predict(X, verbose=0), model.predict(X, verbose=0), atol=1e-5)


def test_a_model_that_is_not_built_yet():
    layers = [KERAS_LAYER(name="norm"), Mine(name="a"), Mine(name="b")]
    model = keras.Sequential([keras.layers.Dense(4), *layers])
    why = "because Mine is a subclass with code of its own"
    assert str(accelerate(model)).splitlines() == [
        "1 layer accelerated: norm",
        f"left as it was: a, {why}",
        f"left as it was: b, {why}",
    ]
    y = model(X)
    assert model.layers[1].gamma.shape == (4,)
    np.testing.assert_allclose(np.mean(y, axis=-1), 0, atol=1e-5)


def test_what_is_left_and_why():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras's own, from 3.11 on
        rms = KERAS_LAYER(rms_scaling=True, name="rms")
    layers = [
        rms,
        Mine(name="mine"),
        KERAS_LAYER(axis=[-1, 1], name="mixed"),
        getattr(keras.layers, "RMSNormalization", keras.layers.UnitNormalization)(),  # from 3.9 on
        LayerNormalization(axis=[1, 2], param_axis=-1, name="ours"),
        MineOfOurs(name="mine_of_ours"),
        LayerNormalization(axis=[-1, 1], name="ours_mixed"),
        LayerNormalization(axis=[2, 1], name="ours_unsorted"),
    ]
    model = keras.Sequential([keras.Input((6, 6)), *layers], name="m")
    wrong_order = {
        f"m/{name}": f"Keras orders gamma and beta wrongly for axis={axis}"
        for name, axis in [("mixed", [-1, 1]), ("ours_mixed", [-1, 1]), ("ours_unsorted", [2, 1])]
        if not in_order(axis)
    }
    report = accelerate(model)
    assert report.changed == ([] if "m/mixed" in wrong_order else ["m/mixed"])
    assert report.left == {
        "m/rms": "rms_scaling is not layer normalisation",
        "m/mine": "Mine is a subclass with code of its own",
        **{name: why for name, why in wrong_order.items() if "ours" not in name},
    }
    assert "left as it was: m/rms, because rms_scaling" in str(report)
    assert restore(model).left == {
        "m/ours": "Keras's layer has no param_axis, here -1",
        **{name: why for name, why in wrong_order.items() if "ours" in name},
        "m/mine_of_ours": "MineOfOurs is a subclass with code of its own",
    }


@pytest.mark.parametrize(
    ("argument", "value", "expected"),
    [
        ("epsilon", -1e-3, "a finite number, zero or greater"),
        ("center", 0, "True or False"),
        ("scale", 1, "True or False"),
        ("axis", True, "an int or a list/tuple of ints"),
    ],
)
def test_what_keras_takes_and_ours_does_not_is_left(argument, value, expected, tmp_path):
    """Changed, the model would fail: when it is called, or when its file is loaded."""
    layer = KERAS_LAYER(**{argument: value}, name="norm")
    model = keras.Sequential([keras.Input((6,)), layer], name="m")
    before = model(X[0])
    report = accelerate(model)
    if argument == "axis" and KERAS > (3, 15):  # where building the layer makes an int of it
        assert report.changed == ["m/norm"]
        return
    assert report.changed == []
    assert f"{argument} must be {expected}" in report.left["m/norm"]
    np.testing.assert_array_equal(model(X[0]), before)
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(keras.models.load_model(tmp_path / "model.keras")(X[0]), before)


@pytest.mark.parametrize("change", [accelerate, restore])
def test_a_failure_half_way_leaves_the_model_as_it_was(change, monkeypatch):
    model = make_model()
    if change is restore:
        accelerate(model)
    before = classes(model)
    model.compile("sgd", "mse")
    model.fit(X, Y, verbose=0)
    function = model.train_function
    fails = [layer for layer in model._flatten_layers() if isinstance(layer, KERAS_LAYER)][2]

    class Brittle(type(fails)):
        tries = 0

        def __setattr__(self, name, value):
            if name == "__class__" and Brittle.tries == 0:
                Brittle.tries = 1
                raise MemoryError("injected")
            object.__setattr__(self, name, value)

    reasons = {accelerate: "why_not_ours", restore: "why_not_keras"}
    original = getattr(interchange, reasons[change])
    monkeypatch.setattr(
        interchange,
        reasons[change],
        lambda layer, which: None if layer is fails else original(layer, which),
    )
    object.__setattr__(fails, "__class__", Brittle)
    with pytest.raises(MemoryError):
        change(model)
    assert Brittle.tries == 1
    object.__setattr__(fails, "__class__", before[2])
    assert classes(model) == before
    assert model.train_function is function


@pytest.mark.parametrize("change", [accelerate, restore])
@pytest.mark.parametrize("model", [None, "model", keras.layers.Dense(2), 3])
def test_anything_but_a_model_is_refused(change, model):
    with pytest.raises(TypeError, match=r"model must be a Keras model.*Received: model="):
        change(model)


def test_convnext_tiny():
    keras.utils.set_random_seed(0)
    model = keras.applications.ConvNeXtTiny(weights=None, input_shape=(32, 32, 3), classes=3)
    x = np.random.default_rng(0).normal(size=(2, 32, 32, 3)).astype("float32")
    before = model(x)
    report = accelerate(model)
    assert len(report.changed) == sum(
        isinstance(layer, KERAS_LAYER) for layer in model._flatten_layers()
    )
    assert len(report.changed) > 20
    np.testing.assert_allclose(model(x), before, atol=1e-5)
