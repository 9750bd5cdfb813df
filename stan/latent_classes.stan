// Location scale model whose group effects are one of K mass points, whole and data-driven.
//   mean          y[i] ~ normal(mu[i], sigma[i]),  mu[i] = X[i] * gamma + Z[i] * u[j],  j = group[i]
//   log variance  2 log sigma[i] = W[i] * delta + A[i] * v[j]
//   effects       (u[j], v[j]) = point[c] with probability weight[c];  weight' * point = 0
// The class of a group is summed over: nothing is sampled for each group.
//
// Of each effect the steps from one class to the next are sampled; those of the effect that orders
// the classes are positive. Their sums, moved to a mean of zero, are b; point = b - weight' * b.
// Where a column of Z is one of X, the coefficient is sampled at b = 0 and gamma = free_gamma +
// weight' * b: what the data say of a class, gamma + point = free_gamma + b, is then free of the
// weights. The density is that of (gamma, delta, weight, steps), and the map has determinant one.
// delta and v are on the log VARIANCE scale. Every term is added with its constants.
functions {
#include functions/priors.stanfunctions
  // Sums of steps about their mean: one number a class.
  vector about_mean(vector step) {
    vector[rows(step) + 1] b = append_row(0, cumulative_sum(step));
    return b - mean(b);
  }
  // Prior of the steps of one effect, spherical in the K points about their mean at distance r:
  // 1 multivariate t, 2 normal, 3 exponential in r; a row of par is (df, scale), or (any, rate).
  real steps_lpdf(vector step, int kind, row_vector par) {
    int d = rows(step);
    real rr = dot_self(about_mean(step));
    real lp = -0.5 * log(d + 1); // d contrasts / d steps
    if (kind == 1) {
      lp += lgamma(0.5 * (par[1] + d)) - lgamma(0.5 * par[1]) - 0.5 * d * log(par[1] * pi())
            - d * log(par[2]) - 0.5 * (par[1] + d) * log1p(rr / (par[1] * square(par[2])));
    } else if (kind == 2) {
      lp += -d * (0.5 * log(2 * pi()) + log(par[2])) - 0.5 * rr / square(par[2]);
    } else {
      lp += d * log(par[2]) + lgamma(0.5 * d) - log2() - 0.5 * d * log(pi()) - lgamma(d)
            - par[2] * sqrt(rr);
    }
    return lp;
  }
}
data {
  int<lower=1> N; // rows, group by group: level-1 units, or fewer with the same sums of products
  int<lower=1> J; // groups
  int<lower=2> K; // classes
  int<lower=0> p; // coefficients of the mean
  int<lower=1> k; // coefficients of the log variance
  int<lower=0> qu; // group effects in the mean
  int<lower=0> qv; // group effects in the log variance
  vector<lower=0>[N] count; // level-1 units that a row stands for
  vector[N] y;
  matrix[N, p] X;
  matrix[N, k] W;
  matrix[N, qu] Z;
  matrix[N, qv] A;
  array[J] int<lower=1> first; // the first row of each group
  array[J] int<lower=1> size; // and how many it has
  int<lower=1, upper=qu + qv> ordering; // the effect that orders the classes
  array[qu] int<lower=0, upper=p> mean_column; // the column of X that is this one of Z, or 0
  array[qv] int<lower=0, upper=k> variance_column; // the column of W that is this one of A, or 0
  array[p] int<lower=0, upper=2> gamma_prior_kind; // 0 flat, 1 normal, 2 Student-t
  matrix[p, 3] gamma_prior; // df, location, scale
  array[k] int<lower=0, upper=2> delta_prior_kind;
  matrix[k, 3] delta_prior;
  array[qu + qv] int<lower=1, upper=3> sd_prior_kind; // 1 half-t, 2 half-normal, 3 exponential
  matrix[qu + qv, 2] sd_prior; // df, scale; or unused, rate
  real<lower=0> concentration; // of the weights' symmetric Dirichlet
}
transformed data {
  int q = qu + qv;
}
parameters {
  vector[p] free_gamma;
  vector[k] free_delta;
  simplex[K] weight;
  vector<lower=0>[K - 1] gap; // steps of the effect that orders the classes
  matrix[K - 1, q - 1] step; // of the others
}
transformed parameters {
  vector[p] gamma = free_gamma;
  vector[k] delta = free_delta;
  matrix[K, q] point;
  for (a in 1:q) {
    vector[K] b = about_mean(a == ordering ? gap : step[, a - (a > ordering)]);
    real shift = dot_product(weight, b);
    point[, a] = b - shift;
    if (a <= qu) {
      if (mean_column[a] > 0) gamma[mean_column[a]] += shift;
    } else if (variance_column[a - qu] > 0) {
      delta[variance_column[a - qu]] += shift;
    }
  }
}
model {
  vector[N] left = y - X * gamma;
  vector[N] base = W * delta;
  array[J] vector[K] lp;
  for (c in 1:K) {
    vector[q] m = point[c]';
    vector[N] log_variance = base + A * tail(m, qv);
    vector[N] term = count .* log_variance + square(left - Z * head(m, qu)) .* exp(-log_variance);
    for (j in 1:J) lp[j, c] = log(weight[c]) - 0.5 * sum(segment(term, first[j], size[j]));
  }
  for (j in 1:J) target += log_sum_exp(lp[j]);
  target += -0.5 * sum(count) * log(2 * pi());
  target += dirichlet_lpdf(weight | rep_vector(concentration, K));
  target += lgamma(K + 1); // one order of the classes out of K!
  for (a in 1:q) {
    vector[K - 1] steps = a == ordering ? gap : step[, a - (a > ordering)];
    target += steps_lpdf(steps | sd_prior_kind[a], sd_prior[a]);
  }
  target += coefficient_prior_lpdf(gamma | gamma_prior_kind, gamma_prior);
  target += coefficient_prior_lpdf(delta | delta_prior_kind, delta_prior);
}
