# Calls into Python. The module is imported on first use and kept.

the <- new.env(parent = emptyenv())

#' Call a public function of py_layernorm
#'
#' @param name Its name.
#' @param args A list of its arguments, all named.
#' @return What it returns. Its Python warnings have become R warnings.
#' @noRd
call_python <- function(name, args) {
  check_alive(args)
  # By name: `do.call()` would put the values into the call, and R would copy a matrix.
  by_name <- Map(as.name, names(args))
  answer <- eval(as.call(c(bridge(), name, by_name)), args)
  if (length(answer[[2]]) > 0) raise_warnings(answer[[2]], undo = answer[[3]])
  answer[[1]]
}

#' Raise warnings, and undo the call if one of them ends it
#'
#' As it does with `options(warn = 2)`, in `tryCatch(warning = )` or by a handler that stops.
#' @noRd
raise_warnings <- function(texts, undo) {
  on.exit(undo())
  for (text in texts) {
    warning(text, call. = FALSE)
  }
  on.exit()
}

bridge <- function() {
  if (is.null(the$bridge)) {
    if (!reticulate::py_available(initialize = FALSE)) ask_for_packages()
    pass_settings() # starts Python
    choose_module()
    the$bridge <- import_python("py_layernorm.r.bridge")$call
  }
  the$bridge
}

#' Pass our environment variables on to Python
#'
#' It reads the environment when it starts, so it does not see what `Sys.setenv()` does later.
#' @noRd
pass_settings <- function() {
  settings <- Sys.getenv(paste0("PY_LAYERNORM_", c("ENGINE", "ISA", "THREADS")), NA, names = TRUE)
  environ <- import_python("os")$environ
  for (name in names(settings)[!is.na(settings)]) {
    reticulate::py_set_item(environ, name, settings[[name]])
  }
}

#' Import a module, or stop with an error that says how to install it
#' @noRd
import_python <- function(module) {
  tryCatch(
    # With conversion: a layer created without it would return unconverted results to R.
    reticulate::import(module, convert = TRUE),
    error = function(e) abort_import(module, e)
  )
}

abort_import <- function(module, cause) {
  reason <- sub("\n.*", "", conditionMessage(cause))
  message <- if (reticulate::py_available()) {
    python <- reticulate::py_exe()
    paste0(
      "The Python in use, ", python, ", cannot import ", module, ".\n",
      reason, "\n",
      "Install it there, in a shell:\n  ", install_command(python), "\n",
      "and restart R. `layernorm_sitrep()` says more."
    )
  } else {
    paste0(
      "layernorm needs Python, and reticulate could not start it.\n",
      reason, "\n",
      "`layernorm_sitrep()` says which Python reticulate would start, and how to choose another."
    )
  }
  stop(errorCondition(message, class = "layernorm_python_error", call = NULL))
}

#' The shell command that installs for one Python what the module needs
#' @noRd
install_command <- function(python) {
  paste(python, "-m pip install", paste0("\"", requirements, "\"", collapse = " "))
}
