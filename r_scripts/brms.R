# brms with rstan: a location-scale model with correlated group effects in both functions.
# brms works on the log SD scale; nothing is rescaled here.

# Debian's BH has no headers of its own.
prepare_rstan <- function() {
  need("brms")
  need("rstan")
  if (!nzchar(system.file("include", "boost", package = "BH")) &&
        file.exists("/usr/include/boost/version.hpp")) {
    rstan::rstan_options(boost_lib = "/usr/include")
  }
}

# Keep a compiled program for the life of this process: rstan looks on the search path for one of
# the same text before it compiles.
remember <- function(model) {
  shelf <- "bridge:programs"
  if (!shelf %in% search()) attach(NULL, name = shelf)
  name <- sprintf("program_%s", model@model_name)
  assign(name, model, envir = as.environment(shelf))
}

# The pairs of k effects as brms orders their correlations: (1,2), (1,3), (2,3), (1,4), ...
effect_pairs <- function(k) {
  if (k < 2L) return(matrix(integer(), 0L, 2L))
  do.call(rbind, lapply(2:k, function(b) cbind(seq_len(b - 1L), b)))
}

# The names that brms gives to the parameters of one block: a set of rows of fit$ranef.
block_names <- function(block, levels) {
  group <- block$group[1]
  dpar <- ifelse(nzchar(block$dpar), paste0(block$dpar, "_"), "")
  long <- paste0(dpar, block$coef)
  pairs <- if (all(block$cor)) effect_pairs(nrow(block)) else effect_pairs(0L)
  r <- paste0("r_", group, ifelse(nzchar(block$dpar), paste0("__", block$dpar), ""))
  list(
    sd = paste0("sd_", group, "__", long),
    cor = sprintf("cor_%s__%s__%s", group, long[pairs[, 1]], long[pairs[, 2]]),
    pairs = unname(pairs),
    effects = lapply(seq_along(r), function(i) {
      sprintf("%s[%s,%s]", r[i], gsub("[ \t\r\n]", ".", levels), block$coef[i])
    }),
    Z = sprintf("Z_%s_%s%s", block$id, dpar, block$cn)
  )
}

# Draws of named parameters, (draw, chain, all) -> (chain, draw, names).
pick <- function(draws, names) {
  lost <- setdiff(names, dimnames(draws)[[3]])
  if (length(lost)) stop(sprintf("brms did not return the parameter %s", lost[1]))
  if (anyDuplicated(names)) {
    stop(sprintf("two parameters are both named %s in brms; rename a group", names[anyDuplicated(names)]))
  }
  unname(aperm(draws[, , names, drop = FALSE], c(2L, 1L, 3L)))
}

block_draws <- function(draws, names) {
  effects <- lapply(names$effects, function(one_effect) pick(draws, one_effect))
  shape <- c(dim(effects[[1]]), length(effects))
  list(
    sd = pick(draws, names$sd),
    cor = pick(draws, names$cor),
    effects = array(unlist(effects), shape)
  )
}

# (chain, draw) arrays of what the sampler says of itself.
sampler_draws <- function(fit, draws) {
  params <- rstan::get_sampler_params(fit, inc_warmup = FALSE)
  take <- function(name) unname(t(vapply(params, function(x) x[, name], numeric(nrow(params[[1]])))))
  list(
    divergent = take("divergent__"), treedepth = take("treedepth__"), energy = take("energy__"),
    accept_stat = take("accept_stat__"), stepsize = take("stepsize__"),
    n_leapfrog = take("n_leapfrog__"), lp = matrix(pick(draws, "lp__"), dim(draws)[2])
  )
}

# plan$native: text of the call, e.g. "brm(bf(y ~ 1 + (1 | s | g), center = FALSE) +
#   lf(sigma ~ 1 + (1 | s | g), center = FALSE), data = data, chains = 2, seed = 1)".
# Draws are after warm-up; C chains, D draws, N rows. Returns
#   b (C x D x p), b_names, X (N x p); b_sigma (C x D x k), b_sigma_names, X_sigma (N x k)
#   lists with one entry for each block of correlated effects (q effects, J groups):
#     sd (C x D x q), cor (C x D x pairs), pairs (pairs x 2, which effects, from 1),
#     effects (C x D x J x q), Z (list of q vectors of N), levels (J)
#   blocks: the effects in order: id (of the block), group, dpar ("" or "sigma"), coef, coef_index, cor
#   df (C x D) of Student-t effects, else NULL
#   sampler: list of C x D matrices
#   stancode, priors (list of columns), chains, warmup, draws, elapsed (C x 2: warm-up, sampling)
fit_brms <- function(plan, data) {
  prepare_rstan()
  fit <- evaluate(plan$native, data, "brms")
  if (!inherits(fit, "brmsfit")) stop("the native call did not give a brms fit")
  if (fit$fit@mode != 0L) stop("Stan did not sample; its output says why")
  remember(fit$fit@stanmodel)
  standata <- brms::standata(fit)
  if (is.null(standata$X_sigma)) stop("the native call must have a formula for sigma")
  draws <- rstan::extract(fit$fit, permuted = FALSE, inc_warmup = FALSE)
  ranef <- fit$ranef
  ids <- unique(ranef$id)
  levels <- lapply(ids, function(id) attr(ranef, "levels")[[ranef$group[ranef$id == id][1]]])
  names <- Map(function(id, labels) block_names(ranef[ranef$id == id, ], labels), ids, levels)
  blocks <- lapply(names, function(block) block_draws(draws, block))
  b_names <- colnames(standata$X)
  sigma_names <- colnames(standata$X_sigma)
  part <- function(what) lapply(blocks, function(block) block[[what]])
  list(
    b = pick(draws, sprintf("b_%s", b_names)),
    b_names = as.character(b_names),
    X = if (is.null(standata$X)) matrix(0, standata$N, 0L) else bare(standata$X),
    b_sigma = pick(draws, sprintf("b_sigma_%s", sigma_names)),
    b_sigma_names = sigma_names,
    X_sigma = bare(standata$X_sigma),
    sd = part("sd"), cor = part("cor"), effects = part("effects"),
    pairs = lapply(names, function(block) block$pairs),
    Z = lapply(names, function(block) lapply(block$Z, function(z) as.double(standata[[z]]))),
    levels = levels,
    blocks = list(
      id = as.integer(ranef$id), group = ranef$group, dpar = ranef$dpar, coef = ranef$coef,
      coef_index = as.integer(ranef$cn), cor = as.logical(ranef$cor)
    ),
    df = if (any(ranef$dist == "student")) {
      matrix(pick(draws, paste0("df_", ranef$group[1])), dim(draws)[2])
    },
    sampler = sampler_draws(fit$fit, draws),
    stancode = one(as.character(brms::stancode(fit))),
    priors = lapply(as.list(as.data.frame(brms::prior_summary(fit))), as.character),
    chains = one(dim(draws)[2]),
    warmup = one(as.integer(fit$fit@sim$warmup)),
    draws = one(dim(draws)[1]),
    elapsed = bare(rstan::get_elapsed_time(fit$fit))
  )
}

# A list of values in the shapes that the Stan program declares.
shaped <- function(point, dims) {
  Map(function(value, name) {
    dim <- dims[[name]]
    if (length(value) != prod(dim)) {
      stop(sprintf("the point's %s has %d values, not %d", name, length(value), prod(dim)))
    }
    if (length(dim)) array(as.double(value), dim) else as.double(value)
  }, point, names(point))
}

# The log density of the program of plan$native (the same text as for fit_brms; nothing is sampled)
# at each of plan$points: lists of constrained parameters by their Stan names (b, b_sigma, sd_1,
# z_1, L_1, ...). No Jacobian of Stan's own transformations is added.
# Returns log_density (one for each point), stancode.
density_brms <- function(plan, data) {
  prepare_rstan()
  call <- parse(text = plan$native, keep.source = FALSE, encoding = "UTF-8")[[1L]]
  call$empty <- TRUE
  fit <- evaluate(paste(deparse(call), collapse = "\n"), data, "brms")
  code <- as.character(brms::stancode(fit))
  model <- rstan::stan_model(model_code = code)
  remember(model)
  instance <- suppressMessages(rstan::sampling(model, data = brms::standata(fit), chains = 0L))
  density <- vapply(plan$points, function(point) {
    free <- rstan::unconstrain_pars(instance, shaped(point, instance@par_dims))
    rstan::log_prob(instance, free, adjust_transform = FALSE)
  }, numeric(1))
  list(log_density = as.double(density), stancode = one(code))
}
