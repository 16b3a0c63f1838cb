# What scripts/test_r_alone.sh runs in R: the first lines of an R user who has installed layernorm.
library(layernorm)
stopifnot(!reticulate::py_available())

# The first result: nothing has been said about Python.
y <- layer_norm(as.matrix(iris[1:4]))
x <- as.matrix(iris[1:4])
d <- x - rowMeans(x)
stopifnot(max(abs(y - d / sqrt(rowMeans(d^2) + 0.001))) < 1e-12)

keras <- reticulate::import("keras")
model <- keras$Sequential(list(keras$Input(list(4L)))) |>
  compose_layer(keras$layers$Dense(16L, activation = "relu")) |>
  layer_layer_normalization(axis = -1) |>
  compose_layer(keras$layers$Dense(3L, activation = "softmax"))
model$compile(
  keras$optimizers$Adam(0.02), "sparse_categorical_crossentropy",
  metrics = list("accuracy")
)
species <- matrix(as.integer(iris$Species) - 1L)
invisible(model$fit(x, species, epochs = 20L, verbose = 0L))
accuracy <- model$evaluate(x, species, verbose = 0L)[[2]]
stopifnot(accuracy > 0.8)

file <- tempfile(fileext = ".keras")
model$save(file)
loaded <- keras$models$load_model(file)
stopifnot(identical(loaded$predict(x, verbose = 0L), model$predict(x, verbose = 0L)))

module <- reticulate::import("py_layernorm")
engine <- reticulate::import("py_layernorm.engines")$describe()
cat(
  sprintf("   Python         %s", reticulate::py_exe()),
  sprintf("   py_layernorm   %s", module$`__path__`[[1]]),
  sprintf("   engine         %s", engine[[1]]),
  sprintf("   accuracy       %.2f, saved and loaded", accuracy),
  sep = "\n"
)
stopifnot(
  "the module is not the one in the package" =
    identical(module$`__path__`[[1]], system.file("python", "py_layernorm", package = "layernorm")),
  "the fused engine does not serve" = engine[[1]] == "fused"
)
