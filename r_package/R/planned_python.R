#' The Python that runs, or that reticulate would start, found out without starting it
#'
#' @return A list: `path`, `version` and `why` (strings, `NULL` if unknown), `started`, `managed`
#'   (reticulate would make an environment of its own, and download for it), `problem` (what
#'   reticulate says when it finds none).
#' @noRd
planned_python <- function() {
  plan <- list(started = reticulate::py_available(initialize = FALSE), managed = FALSE)
  config <- tryCatch(discover(), error = function(e) e)
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

#' reticulate's configuration; NULL for an environment that it has yet to make
#' @noRd
discover <- function() {
  if (reticulate::py_available(initialize = FALSE)) {
    return(reticulate::py_config())
  }
  utils::capture.output(
    config <- suppressWarnings(reticulate::py_discover_config()),
    type = "message"
  )
  # What reticulate returns for a Python that it cannot even ask, such as a shim of pyenv.
  if (inherits(config, "try-error")) stop(attr(config, "condition"))
  if (is.null(config) && !may_make_one()) stop("no Python was found")
  config
}

may_make_one <- function() {
  identical(Sys.getenv("RETICULATE_PYTHON"), "managed") ||
    !tolower(Sys.getenv("RETICULATE_USE_MANAGED_VENV")) %in% c("false", "0", "no")
}

#' Whether the module is there, without starting Python and without importing it
#' @noRd
has_py_layernorm <- function(plan = planned_python()) {
  if (plan$started) {
    return(reticulate::py_module_available("py_layernorm"))
  }
  !is.null(plan$path) && identical(run_python(plan$path, c("-c", has_module_script))$status, 0L)
}

has_module_script <- paste(
  "import importlib.util, sys",
  "sys.exit(importlib.util.find_spec('py_layernorm') is None)",
  sep = "; "
)

#' Run a Python in a process of its own
#'
#' @return A list: `out` (the lines of its standard output), `error` (the last line of its standard
#'   error), `status` (an integer, `NA` if it could not be run).
#' @noRd
run_python <- function(python, args) {
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
      system2(python, shQuote(args), stdout = TRUE, stderr = errors, timeout = 300)
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
