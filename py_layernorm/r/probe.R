# What the doctor runs in an R of its own: prints `key<TAB>value` lines. Starts the Python that
# reticulate would start, unless it would have to make an environment for it.
local({
  say <- function(key, value) cat(key, "\t", as.character(value), "\n", sep = "")

  say("R", getRversion())
  for (package in c("reticulate", "layernorm", "keras3")) {
    if (nzchar(system.file(package = package))) say(package, utils::packageVersion(package))
  }
  if (!nzchar(system.file(package = "reticulate"))) {
    return()
  }
  for (name in c("RETICULATE_PYTHON", "RETICULATE_PYTHON_ENV", "RETICULATE_PYTHON_FALLBACK")) {
    if (!is.na(Sys.getenv(name, NA))) say(name, Sys.getenv(name))
  }
  first_line <- function(condition) sub("\n.*", "", conditionMessage(condition))
  tryCatch(
    {
      # The module's name is what reticulate is asked for by the R package's first call.
      config <- reticulate::py_discover_config("py_layernorm")
      if (is.list(config)) {
        say("python", config$python)
        say("why", if (is.null(config$forced)) "" else config$forced)
        reticulate::py_run_string("")
        say("python", reticulate::py_config()$python)
      }
    },
    error = function(e) say("failure", first_line(e))
  )
})
