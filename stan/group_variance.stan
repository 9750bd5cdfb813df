// The location scale model where the variance function is constant within groups: every predictor
// and every effect of the log variance. Sums of squares and products by group then say all that the
// rows say, so that the cost of a gradient does not depend on the number of rows.
//   mean          y[i] ~ normal(mu[i], sigma[j]),  mu[i] = X[i] * gamma + Z[i] * u[j],  j = group[i]
//   log variance  2 log sigma[j] = W[j] * delta + A[j] * v[j]
//   effects       (u[1..qu], v[1..qv]) of a group ~ N(0, diag(sd) R diag(sd)), R made of blocks
// The density is that of location_scale.stan, with the same parameters but for what raw includes;
// the effects and the correlations are computed from the draws.
functions {
#include functions/priors.stanfunctions
#include functions/correlation_factor.stanfunctions
#include functions/covariance_prior.stanfunctions
#include functions/fixed_parts.stanfunctions
#include functions/group_values.stanfunctions
}
data {
  int<lower=1> J; // groups
  int<lower=0> p; // coefficients of the mean
  int<lower=1> k; // coefficients of the log variance
  int<lower=0> qu; // group effects in the mean
  int<lower=0> qv; // group effects in the log variance
  vector[J] size; // rows of each group
  vector[p] gamma0; // r = y - X * gamma0 has no large mean: its squares keep their digits
  vector[J] rr; // r'r by group
  matrix[J, p] Xr; // X'r
  matrix[J, p * p] XX; // X'X, column by column
  matrix[J, qu] Zr; // Z'r
  array[qu] matrix[J, p] ZX; // Z[, a]'X
  array[qu] matrix[J, qu] ZZ; // Z[, a]'Z
  // Z[i, a] * between_mean[a][j] are columns of X, or zeros: with the effect they are the group's own
  // coefficient, which is sampled as what is left of it given what the group's rows say.
  array[qu] matrix[J, p] between_mean;
  array[qv] matrix[J, k] between_variance;
  matrix[J, k] W;
  matrix[J, qv] A;
  array[qu] int<lower=1, upper=qu + qv> u_rows; // the place of each effect among all of them
  array[qv] int<lower=1, upper=qu + qv> v_rows;
  array[qu + qv] int<lower=1> block; // effects of one number are correlated, others independent
  array[qu + qv] int<lower=0, upper=1> centred;
  matrix<lower=0>[qu + qv, J] weight; // what the rows of a group say of its own coefficients
  matrix[qu + qv, J] toward;
  array[qu + qv] matrix[qu + qv, J] tie;
  // gamma and delta are sampled about where the chains start, in units of what the data say of them
  vector[p] gamma_centre;
  matrix[p, p] gamma_factor; // of their covariance
  vector[k] delta_centre;
  matrix[k, k] delta_factor;
  array[p] int<lower=0, upper=2> gamma_prior_kind; // 0 flat, 1 normal, 2 Student-t
  matrix[p, 3] gamma_prior; // df, location, scale
  array[k] int<lower=0, upper=2> delta_prior_kind;
  matrix[k, 3] delta_prior;
  array[qu + qv] int<lower=0, upper=3> sd_prior_kind; // 0 flat, 1 half-t, 2 half-normal, 3 exponential
  matrix[qu + qv, 2] sd_prior; // df, scale; or unused, rate
  vector<lower=0>[qu + qv] lkj; // eta of the block that the effect is in
  array[qu + qv] int<lower=0, upper=2> tau_prior_kind; // of its block: 0 none, 1 flat, 2 inv-Wishart
  vector<lower=0>[qu + qv] tau_prior_df;
  matrix[qu + qv, qu + qv] tau_prior_scale; // df times a plausible T
}
transformed data {
  int q = qu + qv;
  int n_rho = 0;
  for (a in 1:q) for (b in 1:(a - 1)) n_rho += block[a] == block[b];
  // LKJ(eta) makes the partial correlations independent: (1 + cpc) / 2 ~ beta(shape, shape).
  vector[n_rho] shape;
  {
    int n = 0;
    for (a in 1:q) {
      int members = 0; // size of the block of a
      int place = 0; // of b within the block
      for (b in 1:q) members += block[b] == block[a];
      for (b in 1:(a - 1)) {
        if (block[b] == block[a]) {
          n += 1;
          place += 1;
          shape[n] = lkj[a] + 0.5 * (members - 1 - place);
        }
      }
    }
  }
}
parameters {
  vector[p] gamma_raw;
  vector[k] delta_raw;
  vector<lower=0>[q] sd;
  vector<lower=-1, upper=1>[n_rho] cpc; // pairs (a, b), b < a, of one block, row by row
  matrix[q, J] raw;
}
transformed parameters {
  vector[p] gamma = gamma_centre + gamma_factor * gamma_raw;
  vector[k] delta = delta_centre + delta_factor * delta_raw;
  matrix[q, q] L = correlation_factor(cpc, block);
}
model {
  matrix[q, J] part = fixed_parts(between_mean, gamma, u_rows, between_variance, delta, v_rows, J);
  array[3] matrix[q, J] found = group_values(raw, part, sd, L, centred, weight, toward, tie);
  matrix[q, J] effects = found[2] - part;
  vector[p] step = gamma - gamma0;
  vector[J] log_variance = W * delta;
  vector[J] squares = rr; // (r - X * step - Z * u)'(the same)
  if (p > 0) squares += XX * to_vector(step * step') - 2 * (Xr * step);
  for (a in 1:qu) {
    vector[J] u = effects[u_rows[a]]';
    vector[J] cross = Zr[, a];
    if (p > 0) cross -= ZX[a] * step;
    squares += u .* (ZZ[a, , a] .* u - 2 * cross);
    for (b in 1:(a - 1)) squares += 2 * u .* effects[u_rows[b]]' .* ZZ[a, , b];
  }
  for (a in 1:qv) log_variance += A[, a] .* effects[v_rows[a]]';
  target += -0.5 * (sum(size) * log(2 * pi()) + dot_product(size, log_variance)
                    + dot_product(squares, exp(-log_variance)));
  target += std_normal_lpdf(to_vector(found[1])) + sum(found[3]);
  target += beta_lpdf(0.5 * (1 + cpc) | shape, shape) - n_rho * log2(); // d beta / d cpc
  target += covariance_prior_lpdf(sd | L, block, tau_prior_kind, tau_prior_df, tau_prior_scale);
  target += sd_prior_lpdf(sd | sd_prior_kind, sd_prior);
  target += coefficient_prior_lpdf(gamma | gamma_prior_kind, gamma_prior);
  target += coefficient_prior_lpdf(delta | delta_prior_kind, delta_prior);
}
