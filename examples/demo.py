"""The main example, in Python: load R's models, predict the same numbers, extend one model.

make demo        runs examples/demo.R and then this
"""

import csv
from pathlib import Path

import keras
import numpy as np

from py_layernorm import layer_layer_normalization

OUT = Path(__file__).parent / "output"


def difference(title: str) -> float:
    """The largest difference between what R predicted and what Python predicts."""
    model = keras.models.load_model(OUT / f"{title}.keras")
    data = np.load(OUT / f"{title}.npz")
    return float(np.abs(model.predict(data["x"], verbose=0) - data["predicted_in_r"]).max())


def extend_iris() -> tuple[int, float]:
    """Extend R's iris model with the same call; return its number of layers and its accuracy."""
    keras.utils.set_random_seed(42)
    model = keras.models.load_model(OUT / "iris.keras", compile=False)
    data = np.load(OUT / "iris.npz")
    model.pop()  # R's last layer; the trained layers below it stay
    model.add(keras.layers.Dense(16, activation="relu", name="more"))
    layer_layer_normalization(model)
    model.add(keras.layers.Dense(3, activation="softmax", name="species"))
    loss = "sparse_categorical_crossentropy"
    model.compile(keras.optimizers.Adam(0.01), loss, metrics=["accuracy"])
    model.fit(data["x_train"], data["y_train"], epochs=10, verbose=0)
    model.save(OUT / "iris_extended.keras")
    return len(model.layers), model.evaluate(data["x"], data["y"], verbose=0)[1]


def main() -> None:
    with open(OUT / "scores.csv", newline="") as file:
        scores = list(csv.DictReader(file))
    header = ("data", "metric", "without", "with layer norm.", "|R - Python|")
    rows = [
        (
            score["data"],
            score["metric"],
            f"{float(score['without']):.4f}",
            f"{float(score['with']):.4f}",
            f"{difference(score['data']):.1e}",
        )
        for score in scores
    ]
    layers, accuracy = extend_iris()
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    print()
    for row in [header, tuple("-" * w for w in widths), *rows]:
        print("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip())
    print(f"\nThe iris model from R, extended in Python by the same call to {layers} layers:")
    print(f"accuracy {accuracy:.4f}.")


if __name__ == "__main__":
    main()
