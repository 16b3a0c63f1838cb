# What the settings that choose a Python come to, and the value to set in their place.

#' The environment variable that names a Python which reticulate does not take
#'
#' @return A list, `name`, `value` and `reason`; or `NULL`.
#' @noRd
ignored_setting <- function(plan) {
  if (identical(plan$why, "the current process")) {
    return(NULL)
  }
  # In this order reticulate looks at them; the last it reads only if nothing else chooses a Python.
  for (name in c("RETICULATE_PYTHON", "RETICULATE_PYTHON_ENV", "RETICULATE_PYTHON_FALLBACK")) {
    value <- Sys.getenv(name, unset = NA)
    read <- name != "RETICULATE_PYTHON_FALLBACK" || plan$failed || grepl(name, plan$problem %or% "")
    if (!is.na(value) && value != "managed" && read) {
      return(if (!takes(plan, name, value)) {
        list(name = name, value = value, reason = fault_of(value, plan$started))
      })
    }
  }
}

#' Whether the plan is due to this value of the variable
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

#' Why a value is of no use
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
    "was not set before Python started"
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
#' @param named What the user has set. A virtual environment that it may mean comes first; after
#'   these, any on the path. One that has the module is preferred.
#' @param except A Python that does not do.
#' @noRd
suggested_python <- function(named = "", except = NULL) {
  meant <- c(
    python_in(named),
    tryCatch(reticulate::virtualenv_python(named), error = function(e) NULL)
  )
  commands <- c(if (!file.exists(named)) named, "python3", "python")
  candidates <- c(meant, Sys.which(commands))
  candidates <- setdiff(path.expand(candidates[file.exists(candidates)]), except)
  best <- Find(has_module, candidates)
  c(best, intersect(candidates, path.expand(as.character(meant))), "/path/to/python")[1]
}

set_python <- function(python) sprintf("Sys.setenv(RETICULATE_PYTHON = %s)", deparse(python))
