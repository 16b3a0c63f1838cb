# How R runs the calls of calls.py: reads the table from one JSON file, writes what they come to
# into another. The functions' own arguments are the paths.
run_calls <- local({
  keras <- NULL

  run_calls <- function(from, to) {
    keras <<- reticulate::import("keras")
    calls <- jsonlite::fromJSON(from, simplifyDataFrame = FALSE, simplifyMatrix = FALSE)
    jsonlite::write_json(lapply(calls, run), to, null = "null")
  }

  run <- function(call) {
    tryCatch(encode(answer(call)), error = function(e) {
      python <- inherits(e, "python.builtin.BaseException")
      list(
        error = jsonlite::unbox(sub("python.builtin.", "", class(e)[1], fixed = TRUE)),
        text = jsonlite::unbox(if (python) reticulate::py_str(e) else conditionMessage(e))
      )
    })
  }

  answer <- function(call) {
    arguments <- c(call$arguments, lapply(call$weights, make_array))
    switch(call[["function"]],
      model = saved_model(call, arguments),
      load = keras$models$load_model(call$file)(make_array(call$object)),
      do.call(
        getExportedValue("layernorm", call[["function"]]),
        c(list(make(call$object)), arguments),
        quote = TRUE
      )
    )
  }

  make <- function(value) {
    if (is.list(value) && "values" %in% names(value)) {
      x <- make_array(value)
      if (is.null(value$dtype)) x else keras$ops$cast(x, value$dtype)
    } else if (identical(value, "layer")) {
      keras$layers$Dense(2L)
    } else if (identical(value, "functional")) {
      x <- keras$Input(list(3L), name = "x")
      keras$Model(x, x, name = "functional")
    } else if (identical(value, "complex")) {
      keras$ops$cast(matrix(1, 2, 3), "complex64")
    } else if (identical(value, "scalar")) {
      keras$ops$cast(1, "float32")
    } else {
      value
    }
  }

  # Python's arrays are stored row by row, R's column by column.
  make_array <- function(encoded) {
    shape <- as.integer(unlist(encoded$shape))
    aperm(array(as.numeric(unlist(encoded$values)), rev(shape)))
  }

  encode <- function(y) {
    dtype <- if (is.array(y)) "float64" else y$dtype$name
    x <- layernorm::as_r_array(y)
    list(
      values = sprintf("%a", as.vector(aperm(x))),
      shape = dim(x),
      dtype = jsonlite::unbox(dtype)
    )
  }

  saved_model <- function(call, arguments) {
    keras$utils$clear_session(free_memory = FALSE)
    keras$utils$set_random_seed(0L)
    model <- keras$Sequential(list(keras$Input(list(3L, 4L)), keras$layers$Dense(4L)))
    do.call(layernorm::layer_layer_normalization, c(list(model), arguments), quote = TRUE)
    layernorm::compose_layer(model, keras$layers$Dense(2L))
    model$save(call$file)
    model(make_array(call$object))
  }

  run_calls
})
