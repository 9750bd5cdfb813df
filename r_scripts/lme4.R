# lme4: a linear mixed model with one level-1 variance.

# The columns of one random term among all those of its grouping factor: `(1 + x || g)` becomes
# several terms, which ranef() joins again.
term_columns <- function(cnms) {
  before <- stats::ave(lengths(cnms), names(cnms), FUN = function(n) cumsum(n) - n)
  Map(function(n, start) start + seq_len(n), lengths(cnms), before)
}

# condVar of one term: an array (effect, effect, group).
term_cov <- function(effects, term, among) {
  cov <- attr(effects, "postVar")
  if (is.list(cov)) cov <- cov[[match(term, among)]]
  array(as.double(cov), dim(cov))
}

# plan$native: text of the call, e.g. "lmer(y ~ x + (1 | g), data = data, REML = FALSE)".
# Returns, with p fixed effects, N rows, and lists of one entry for each random term as lme4 orders
# them (q effects, J groups):
#   fixef (p), fixef_names, fixef_vcov (p x p), X (N x p)
#   Z (N x q), effect_names, covariance (q x q, outcome units squared), effects (J x q),
#   effects_cov (q x q x J), levels (J), group
#   sigma, loglik (of REML if so fitted), df, n_obs, converged, singular, optimizer_messages
fit_lme4 <- function(plan, data) {
  fit <- evaluate(plan$native, data, "lme4")
  if (!inherits(fit, "lmerMod")) stop("the native call did not give a linear mixed model")
  cnms <- fit@cnms
  groups <- unname(names(cnms))
  raw <- unname(lme4::getME(fit, "mmList"))
  stopifnot(identical(lapply(raw, colnames), unname(cnms)))  # the same terms in the same order
  ranef <- lme4::ranef(fit, condVar = TRUE)
  columns <- term_columns(cnms)
  terms <- seq_along(cnms)
  loglik <- stats::logLik(fit)
  convergence <- fit@optinfo$conv
  list(
    fixef = unname(lme4::fixef(fit)),
    fixef_names = names(lme4::fixef(fit)),
    fixef_vcov = bare(stats::vcov(fit)),
    X = bare(lme4::getME(fit, "X")),
    Z = lapply(raw, bare),
    effect_names = unname(cnms),
    covariance = lapply(unname(unclass(lme4::VarCorr(fit))), bare),
    effects = lapply(terms, function(i) {
      bare(as.matrix(ranef[[groups[i]]])[, columns[[i]], drop = FALSE])
    }),
    effects_cov = lapply(terms, function(i) {
      term_cov(ranef[[groups[i]]], i, which(groups == groups[i]))
    }),
    levels = lapply(terms, function(i) rownames(ranef[[groups[i]]])),
    group = groups,
    sigma = one(stats::sigma(fit)),
    loglik = one(as.double(loglik)),
    df = one(attr(loglik, "df")),
    n_obs = one(nrow(lme4::getME(fit, "X"))),
    # the codes of lme4's own checks count up with the number of complaints: its words tell
    converged = one(convergence$opt == 0 && !any(convergence$lme4$code < 0) &&
                      !any(grepl("failed to converge", convergence$lme4$messages))),
    singular = one(lme4::isSingular(fit)),
    optimizer_messages = as.character(unlist(c(fit@optinfo$message, convergence$lme4$messages)))
  )
}
