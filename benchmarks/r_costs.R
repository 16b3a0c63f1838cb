# What the R package adds to the same calls in Python, and to `library(reticulate)`; and, where R's
# package keras3 is installed, how it compares with that package's calls.
#
# Rscript benchmarks/r_costs.R rows.jsonl
#
# Each pair is run in turns, so that both meet the same machine; each figure is a median. Both keep
# what the calls return until the turn is over, and garbage is collected before each turn: R would
# otherwise keep Python's objects longer than Python does.

turns <- 21
calls <- 10 # a turn
starts <- 11

milliseconds_a_call <- function(f) {
  kept <- vector("list", calls)
  start <- Sys.time()
  for (i in seq_len(calls)) kept[[i]] <- f()
  1000 * as.double(Sys.time() - start, units = "secs") / calls
}

# The median of `ours()`, of `peer()` and of their difference, each turn in the other order.
in_turns <- function(ours, peer, turns) {
  times <- vapply(
    seq_len(turns),
    function(turn) {
      times <- double(2)
      for (i in if (turn %% 2) 1:2 else 2:1) times[i] <- list(ours, peer)[[i]]()
      times
    },
    double(2)
  )
  c(
    ours = stats::median(times[1, ]),
    peer = stats::median(times[2, ]),
    difference = stats::median(times[1, ] - times[2, ])
  )
}

row <- function(name, peer, ours, peers, turns, limit, unit) {
  ours()
  peers() # both once for nothing, so that neither pays for what happens once
  times <- in_turns(ours, peers, turns)
  list(
    name = name, peer = peer, ours = times[["ours"]], peer_took = times[["peer"]],
    difference = times[["difference"]], limit = limit, unit = unit,
    ok = times[["difference"]] <= limit
  )
}

in_python <- function() {
  reticulate::py_run_string(
    "
import gc
import time
import keras
from py_layernorm import layer_layer_normalization

def milliseconds_a_call(f, calls):
    kept = []
    start = time.perf_counter()
    for _ in range(calls):
        kept.append(f())
    return 1000 * (time.perf_counter() - start) / calls

def create(calls):
    return milliseconds_a_call(lambda: layer_layer_normalization(axis=-1), calls)

def add(calls):
    model = keras.Sequential([keras.Input((4,))])
    return milliseconds_a_call(lambda: layer_layer_normalization(model), calls)

def call(calls):
    tensor = keras.Input((4,))
    return milliseconds_a_call(lambda: layer_layer_normalization(tensor), calls)
"
  )
}

# The calls to time, with one package's function.
calls_of <- function(normalise) {
  keras <- reticulate::import("keras")
  list(
    create = function() milliseconds_a_call(function() normalise(axis = -1)),
    add = function() {
      model <- keras$Sequential(list(keras$Input(list(4L))))
      milliseconds_a_call(function() normalise(model))
    },
    call = function() {
      tensor <- keras$Input(list(4L))
      milliseconds_a_call(function() normalise(tensor))
    }
  )
}

call_names <- c(
  create = "create a layer from R",
  add = "add one to a Sequential from R",
  call = "call one on a symbolic tensor from R"
)

call_rows <- function(peer, peers, limit) {
  ours <- calls_of(layer_layer_normalization)
  collect <- reticulate::import("gc")$collect
  clean <- function(f) {
    function() {
      gc(full = TRUE)
      collect()
      f()
    }
  }
  lapply(names(ours), function(what) {
    row(call_names[[what]], peer, clean(ours[[what]]), clean(peers[[what]]), turns, limit, "ms")
  })
}

rows_beside_python <- function() {
  python <- in_python()
  peers <- lapply(names(call_names), function(what) function() python[[what]](as.integer(calls)))
  call_rows("the same call in Python", stats::setNames(peers, names(call_names)), 1)
}

# A matrix on its way to Python, where a function of no work awaits it; and what that takes of
# memory, when Python keeps what it was given.
matrix_rows <- function() {
  reticulate::py_run_string(
    "
import py_layernorm
own = py_layernorm.compose_layer
kept = []
py_layernorm.compose_layer = lambda object, layer: kept.append(object)
"
  )
  on.exit(reticulate::py_run_string("py_layernorm.compose_layer = own; kept.clear()"))
  layer <- layer_layer_normalization()
  small <- matrix(0, 1, 1)
  big <- matrix(0, 1000, 10000) # 80 MB of doubles
  send <- function(x) function() milliseconds_a_call(function() compose_layer(x, layer))
  name <- "send a matrix of 80 MB to Python"
  time <- row(name, "one of 8 bytes", send(big), send(small), turns, 5, "ms")
  before <- resident_megabytes()
  send(big)()
  more <- resident_megabytes() - before
  memory <- list(
    name = "memory for 10 sends of 80 MB", peer = "no memory", ours = more, peer_took = 0,
    difference = more, limit = 8, unit = "MB", ok = more <= 8
  )
  if (file.exists("/proc/self/status")) list(time, memory) else list(time)
}

resident_megabytes <- function() {
  if (!file.exists("/proc/self/status")) {
    return(NA)
  }
  line <- grep("^VmRSS", readLines("/proc/self/status"), value = TRUE)
  as.double(gsub("[^0-9]", "", line)) / 1024
}

# Ours is to cost no more than the same in keras3.
rows_beside_keras3 <- function() {
  if (!requireNamespace("keras3", quietly = TRUE)) {
    message("R's package keras3 is not installed: no rows beside it.")
    return(list())
  }
  load <- row(
    "library(layernorm)", "library(keras3)", function() seconds_to_load("layernorm"),
    function() seconds_to_load("keras3"), starts, 0, "s"
  )
  c(call_rows("the same in keras3", calls_of(keras3::layer_layer_normalization), 0), list(load))
}

seconds_to_load <- function(package) {
  code <- sprintf(
    "start <- Sys.time(); library(%s); cat(as.double(Sys.time() - start, units = 'secs'))", package
  )
  rscript <- file.path(R.home("bin"), "Rscript")
  as.double(utils::tail(system2(rscript, c("-e", shQuote(code)), stdout = TRUE), 1))
}

load_row <- function() {
  ours <- function() seconds_to_load("layernorm")
  peers <- function() seconds_to_load("reticulate")
  row("library(layernorm)", "library(reticulate)", ours, peers, starts, 0.25, "s")
}

as_json <- function(row) {
  sprintf(
    paste0(
      "{\"name\": \"%s\", \"peer\": \"%s\", \"ours\": %.6g, \"peer_took\": %.6g, ",
      "\"difference\": %.6g, \"limit\": %.6g, \"unit\": \"%s\", \"ok\": %s}"
    ),
    row$name, row$peer, row$ours, row$peer_took, row$difference, row$limit, row$unit,
    if (row$ok) "true" else "false"
  )
}

as_line <- function(row) {
  sprintf(
    "%-38s %-24s %8.3f %8.3f %10.3f %6.2f %-2s  %s", row$name, row$peer, row$ours,
    row$peer_took, row$difference, row$limit, row$unit, if (row$ok) "ok" else "TOO SLOW"
  )
}

main <- function(file) {
  library(layernorm)
  rows <- c(rows_beside_python(), matrix_rows(), list(load_row()), rows_beside_keras3())
  writeLines(vapply(rows, as_json, ""), file)
  head <- sprintf(
    "%-38s %-24s %8s %8s %10s %6s", "", "peer", "ours", "peer's", "difference", "limit"
  )
  writeLines(c(head, vapply(rows, as_line, "")))
}

file <- commandArgs(trailingOnly = TRUE)
if (length(file) != 1) stop("Usage: Rscript benchmarks/r_costs.R rows.jsonl")
main(file)
