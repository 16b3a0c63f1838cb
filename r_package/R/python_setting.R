# Settings that should choose a Python but do not, and the value to set instead.

#' Find the environment variable that names a Python which reticulate does not use
#'
#' @return A list, `name`, `value` and `reason`; or `NULL`.
#' @noRd
ignored_setting <- function(plan) {
  if (identical(plan$why, "the current process")) {
    return(NULL)
  }
  name <- deciding_setting(plan)
  if (!is.null(name) && !takes(plan, name, Sys.getenv(name))) {
    value <- Sys.getenv(name)
    list(name = name, value = value, reason = fault_of(value, plan$started))
  }
}

#' The first environment variable that reticulate heeds, or `NULL`
#' @noRd
deciding_setting <- function(plan) {
  # In this order. The last one counts only if nothing else chooses a Python.
  names <- c("RETICULATE_PYTHON", "RETICULATE_PYTHON_ENV", "RETICULATE_PYTHON_FALLBACK")
  fallback_failed <- plan$failed || grepl(names[3], plan$problem %or% "")
  Find(
    function(name) {
      set <- !Sys.getenv(name, unset = "managed") == "managed"
      set && (name != names[3] || fallback_failed)
    },
    names
  )
}

#' Whether the plan follows from this value of the variable
#' @noRd
takes <- function(plan, name, value) {
  if (is.null(plan$path)) {
    return(FALSE)
  }
  by_name <- identical(plan$why, name) && (!plan$started || name == "RETICULATE_PYTHON_ENV")
  by_name || names_python(value, plan$path)
}

`%or%` <- function(x, default) if (is.null(x)) default else x

#' Whether `value` names `python`, as reticulate reads it: a file, or a folder that holds it
#' @noRd
names_python <- function(value, python) {
  if (dir.exists(value)) value <- file.path(value, "python")
  identical(
    normalizePath(dirname(value), mustWork = FALSE),
    normalizePath(dirname(python), mustWork = FALSE)
  )
}

#' Why reticulate cannot use a value
#' @noRd
fault_of <- function(value, started) {
  if (!nzchar(value)) {
    "is empty"
  } else if (dir.exists(value)) {
    if (is.null(python_in(value))) {
      "is a folder without a Python"
    } else {
      "is the folder of a virtual environment, not the Python in it"
    }
  } else if (!file.exists(value)) {
    if (nzchar(Sys.which(value))) "is a command, not a path" else "does not exist"
  } else if (file.access(value, mode = 1) != 0) {
    "is not executable"
  } else if (!identical(run_program(value, c("-c", "print('a Python')"))$out, "a Python")) {
    "is not a Python that runs"
  } else if (started) {
    "was set after Python had started"
  } else {
    "is not a Python that reticulate can use"
  }
}

#' The Python of the virtual environment in a folder, or `NULL`
#' @noRd
python_in <- function(folder) {
  Find(file.exists, file.path(sub("/+$", "", folder), c("bin/python", "Scripts/python.exe")))
}

#' The Python to set
#'
#' @param named What the user has set. If it names a virtual environment, that one's Python comes
#'   first, then those on the path. A Python that has Keras is preferred.
#' @param except A Python that must not be suggested.
#' @noRd
suggested_python <- function(named = "", except = NULL) {
  meant <- c(
    python_in(named),
    tryCatch(reticulate::virtualenv_python(named), error = function(e) NULL)
  )
  commands <- c(if (!file.exists(named)) named, "python3", "python")
  candidates <- c(meant, Sys.which(commands))
  candidates <- setdiff(path.expand(candidates[file.exists(candidates)]), except)
  best <- Find(finds_keras, candidates)
  c(best, intersect(candidates, path.expand(as.character(meant))), "/path/to/python")[1]
}

set_python <- function(python) sprintf("Sys.setenv(RETICULATE_PYTHON = %s)", deparse(python))
