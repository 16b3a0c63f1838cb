#' Find the Python that runs, or that reticulate would start, without starting it
#'
#' @return A list: `path`, `version` and `why` (strings, `NULL` if unknown); `started`; `managed`
#'   (whether reticulate would create an environment of its own, and download packages for it);
#'   `problem` (reticulate's message when it finds no Python); `failed` (whether it passed over a
#'   Python because that one does not work).
#' @noRd
planned_python <- function() {
  plan <- list(started = reticulate::py_available(initialize = FALSE), managed = FALSE)
  found <- discover()
  config <- found$config
  plan$failed <- found$failed
  if (inherits(config, "error")) {
    plan$problem <- sub("\n.*", "", conditionMessage(config))
  } else if (is.null(config)) {
    plan$managed <- TRUE
  } else {
    plan$path <- config$python
    plan$version <- as.character(config$version)
    plan$why <- config$forced
  }
  plan
}

#' What reticulate finds
#'
#' @return A list: `config`, reticulate's configuration, or `NULL` for an environment that it has
#'   yet to create, or an error; and `failed`, see `planned_python()`.
#' @noRd
discover <- function() {
  if (reticulate::py_available(initialize = FALSE)) {
    return(list(config = reticulate::py_config(), failed = FALSE))
  }
  # reticulate prints why a Python does not work, and then tries the next one. Our first call will
  # import this module, and reticulate prefers a Python that has it.
  said <- utils::capture.output(
    config <- tryCatch(
      suppressWarnings(reticulate::py_discover_config("py_layernorm")), error = identity
    ),
    type = "message"
  )
  # What reticulate returns for a Python that it cannot query, such as a pyenv shim.
  if (inherits(config, "try-error")) config <- attr(config, "condition")
  if (is.null(config) && !may_make_one()) config <- simpleError("no Python was found")
  list(config = config, failed = any(grepl("^Error", said)))
}

may_make_one <- function() {
  identical(Sys.getenv("RETICULATE_PYTHON"), "managed") ||
    !tolower(Sys.getenv("RETICULATE_USE_MANAGED_VENV")) %in% c("false", "0", "no")
}

#' Whether Keras is there, which the module needs, without starting Python and without importing it
#' @noRd
has_keras <- function(plan = planned_python()) {
  if (plan$started) {
    return(reticulate::py_module_available("keras"))
  }
  !is.null(plan$path) && finds_keras(plan$path)
}

finds_keras <- function(python) {
  code <- "import importlib.util; print(importlib.util.find_spec('keras') is not None)"
  identical(run_program(python, c("-c", code))$out, "True")
}

#' Try to start a Python in a separate R process: why that fails, or `NULL`
#' @noRd
start_failure <- function(python) {
  code <- c(
    sprintf(".libPaths(%s)", paste(deparse(.libPaths()), collapse = "")),
    "ok <- tryCatch({ reticulate::py_run_string(''); TRUE }, error = conditionMessage)",
    "cat('\\n', sub('\\n.*', '', ok), '\\n', sep = '')"
  )
  old <- Sys.getenv("RETICULATE_PYTHON", NA)
  Sys.setenv(RETICULATE_PYTHON = python)
  on.exit(
    if (is.na(old)) Sys.unsetenv("RETICULATE_PYTHON") else Sys.setenv(RETICULATE_PYTHON = old)
  )
  rscript <- file.path(R.home("bin"), "Rscript")
  run <- run_program(rscript, c("--vanilla", "-e", paste(code, collapse = "; ")))
  said <- utils::tail(run$out, 1)
  if (!identical(said, "TRUE")) {
    if (length(said) > 0 && run$status == 0) said else run$error
  }
}

#' Run a program in a separate process
#'
#' @return A list: `out` (the lines of its standard output), `error` (the last line of its standard
#'   error), `status` (an integer, `NA` if it could not be run).
#' @noRd
run_program <- function(program, args) {
  errors <- tempfile()
  on.exit(unlink(errors))
  # R looks for libraries in the system's folders first, where another libpython may lie.
  path <- Sys.getenv("LD_LIBRARY_PATH", NA)
  if (!is.na(path)) {
    Sys.unsetenv("LD_LIBRARY_PATH")
    on.exit(Sys.setenv(LD_LIBRARY_PATH = path), add = TRUE)
  }
  out <- tryCatch(
    suppressWarnings(
      system2(program, shQuote(args), stdout = TRUE, stderr = errors, timeout = 300)
    ),
    error = function(e) structure(character(), status = NA_integer_)
  )
  status <- attr(out, "status")
  list(
    out = as.character(out),
    error = utils::tail(if (file.exists(errors)) readLines(errors, warn = FALSE), 1),
    status = if (is.null(status)) 0L else as.integer(status)
  )
}
