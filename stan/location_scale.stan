// Mixed-effects location scale model, whole and data-driven.
//   mean          y[i] ~ normal(mu[i], sigma[i]),  mu[i] = X[i] * gamma + Z[i] * u[group[i]]
//   log variance  2 log sigma[i] = W[i] * delta + A[i] * v[group[i]]
//   effects       (u[1..qu], v[1..qv]) of a group ~ N(0, diag(sd) R diag(sd)), R made of blocks
// delta and the SDs of v are on the log VARIANCE scale. What of a column of X or W is, in each
// group, a multiple of Z or A is folded into the groups' own coefficients, between * gamma + u;
// they are sampled as what is left of them given what the group's rows say (`group_values`).
// The effects and the correlations are computed from the draws.
// Every term is added with its constants; half priors are those of the whole line, not doubled.
// The density is that of gamma and delta: the map from what is sampled of them is linear.
functions {
#include functions/priors.stanfunctions
#include functions/correlation_factor.stanfunctions
#include functions/covariance_prior.stanfunctions
#include functions/group_values.stanfunctions
#include functions/group_designs.stanfunctions
#include functions/fixed_parts.stanfunctions
#include functions/rows.stanfunctions
}
data {
  int<lower=1> N; // level-1 units
  int<lower=1> J; // groups
  int<lower=0> p; // coefficients of the mean
  int<lower=1> k; // coefficients of the log variance
  int<lower=0> qu; // group effects in the mean
  int<lower=0> qv; // group effects in the log variance
  vector[N] y; // group by group
  array[J + 1] int<lower=1, upper=N + 1> start; // first row of each group, and one beyond the last
  array[qu] matrix[J, p] between_mean; // what of the mean goes with each effect, by group
  array[qv] matrix[J, k] between_variance;
  int<lower=0, upper=p> p_row;
  array[p_row] int<lower=1, upper=p> row_gamma; // coefficients of which rows keep something
  matrix[N, p_row + qu] X; // what is left of their columns, then those of the effects
  int<lower=0, upper=k> k_row;
  array[k_row] int<lower=1, upper=k> row_delta;
  matrix[N, k_row + qv] W;
  int<lower=0, upper=1> sparse; // 1 where the groups are small
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
  matrix[N, k_row + qv] half_W = 0.5 * W;
  array[sparse * N] int group;
  if (sparse) for (j in 1:J) for (i in start[j]:(start[j + 1] - 1)) group[i] = j;
  array[sparse * N * (p_row + qu)] int X_column = design_columns(group, p_row, qu);
  array[sparse * N * (k_row + qv)] int W_column = design_columns(group, k_row, qv);
  vector[sparse * N * (p_row + qu)] X_value;
  vector[sparse * N * (k_row + qv)] W_value;
  if (sparse) {
    X_value = to_vector(X');
    W_value = to_vector(half_W');
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
  matrix[q, J] value = found[2];
  if (sparse) {
    target += sparse_rows_lpdf(y | X_value, W_value, X_column, W_column, gamma[row_gamma],
                               value[u_rows], delta[row_delta], value[v_rows]);
  } else {
    target += rows_lpdf(y | X, half_W, start, gamma[row_gamma], value[u_rows], delta[row_delta],
                        value[v_rows]);
  }
  target += std_normal_lpdf(to_vector(found[1])) + sum(found[3]);
  target += beta_lpdf(0.5 * (1 + cpc) | shape, shape) - n_rho * log2(); // d beta / d cpc
  target += covariance_prior_lpdf(sd | L, block, tau_prior_kind, tau_prior_df, tau_prior_scale);
  target += sd_prior_lpdf(sd | sd_prior_kind, sd_prior);
  target += coefficient_prior_lpdf(gamma | gamma_prior_kind, gamma_prior);
  target += coefficient_prior_lpdf(delta | delta_prior_kind, delta_prior);
}
