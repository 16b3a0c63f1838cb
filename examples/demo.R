# The main example, in R: build a Sequential model with pipes and layer_layer_normalization(), train
# it on real data that comes with R, compare it with the same model without normalisation, and save
# it for Python.
#
#   make demo        runs this and then examples/demo.py

library(layernorm)

out <- file.path("examples", "output")
dir.create(out, showWarnings = FALSE, recursive = TRUE)

keras <- reticulate::import("keras")
np <- reticulate::import("numpy", convert = FALSE)
as_float32 <- function(x) np$asarray(x, dtype = "float32")

train <- function(model, data, loss, metric, epochs) {
  model$compile(
    optimizer = keras$optimizers$Adam(0.01),
    loss = loss,
    metrics = list(metric)
  )
  model$fit(
    as_float32(data$x), as_float32(data$y),
    epochs = epochs, batch_size = 32L,
    verbose = if (isatty(stdout())) 1L else 2L # no progress bar in a file
  )
  model$evaluate(as_float32(data$x_test), as_float32(data$y_test), verbose = 0L)[[2]]
}

# The same data, the same seed, with and without layer normalisation.
compare <- function(title, make_model, data, loss, metric, epochs) {
  score <- c()
  for (normalised in c(FALSE, TRUE)) {
    cat("\n==", title, if (normalised) "with" else "without", "layer normalisation\n")
    keras$utils$set_random_seed(42L)
    model <- make_model(normalised)
    score <- c(score, train(model, data, loss, metric, epochs))
  }
  # For Python: the model, and its predictions as bytes, not as rounded text.
  model$save(file.path(out, paste0(title, ".keras")))
  x_test <- as_float32(data$x_test)
  np$savez(
    file.path(out, paste0(title, ".npz")),
    x_train = as_float32(data$x), y_train = as_float32(data$y),
    x = x_test, y = as_float32(data$y_test), predicted_in_r = model$predict(x_test, verbose = 0L)
  )
  data.frame(data = title, metric = metric, without = score[1], with = score[2])
}

# iris: the species of 150 flowers from four lengths, one third held out.
set.seed(1)
held_out <- sample(nrow(iris), 50)
flowers <- as.matrix(iris[, 1:4])
species <- matrix(as.integer(iris$Species) - 1L)
iris_data <- list(
  x = flowers[-held_out, ], y = species[-held_out, , drop = FALSE],
  x_test = flowers[held_out, ], y_test = species[held_out, , drop = FALSE]
)
iris_model <- function(normalised) {
  model <- keras$Sequential(list(keras$Input(shape = list(4L)))) |>
    compose_layer(keras$layers$Dense(32L, activation = "relu"))
  if (normalised) model |> layer_layer_normalization()
  model |> compose_layer(keras$layers$Dense(3L, activation = "softmax"))
}

# sunspot.month: next month's count from the 24 months before it, the last third held out.
window <- 24
months <- embed(head(as.numeric(datasets::sunspot.month), 2400) / 100, window + 1)
past <- array(months[, (window + 1):2], c(nrow(months), window, 1))
future <- months[, 1, drop = FALSE]
early <- seq_len(1600)
sunspot_data <- list(
  x = past[early, , , drop = FALSE], y = future[early, , drop = FALSE],
  x_test = past[-early, , , drop = FALSE], y_test = future[-early, , drop = FALSE]
)
sunspot_model <- function(normalised) {
  model <- keras$Sequential(list(keras$Input(shape = list(as.integer(window), 1L)))) |>
    compose_layer(keras$layers$Bidirectional(keras$layers$LSTM(16L)))
  if (normalised) model |> layer_layer_normalization()
  model |> compose_layer(keras$layers$Dense(1L))
}

scores <- rbind(
  compare("iris", iris_model, iris_data, "sparse_categorical_crossentropy", "accuracy", 20L),
  compare("sunspot.month", sunspot_model, sunspot_data, "mse", "mae", 8L)
)
utils::write.csv(scores, file.path(out, "scores.csv"), row.names = FALSE)
