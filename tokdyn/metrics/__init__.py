"""Scores of a run: pure functions of arrays that can be jitted and vmapped, and accept masks."""

from tokdyn.metrics.collapse import (
    all_coincident,
    distinct_tokens,
    live_tokens,
    mean_assignment_entropy,
    merged_adjusted_rand_index,
    merged_tokens,
    min_token_distance,
    published_collapse,
    usage_perplexity,
)
from tokdyn.metrics.compactness import silhouette, sum_squared_errors
from tokdyn.metrics.contingency import (
    adjusted_rand_index_from,
    completeness_from,
    contingency,
    fowlkes_mallows_from,
    homogeneity_from,
    normalized_mutual_information_from,
    purity_from,
    v_measure_from,
)
from tokdyn.metrics.geometry import effective_rank, participation_ratio, stable_rank, steps_to_converge
from tokdyn.metrics.matching import (
    match_clusters,
    match_clusters_from,
    matched_accuracy,
    mean_matched_iou,
)
from tokdyn.metrics.partition import (
    adjusted_rand_index,
    completeness,
    fowlkes_mallows,
    homogeneity,
    normalized_mutual_information,
    purity,
    v_measure,
)

__all__ = [
    "adjusted_rand_index",
    "adjusted_rand_index_from",
    "all_coincident",
    "completeness",
    "completeness_from",
    "contingency",
    "distinct_tokens",
    "effective_rank",
    "fowlkes_mallows",
    "fowlkes_mallows_from",
    "homogeneity",
    "homogeneity_from",
    "live_tokens",
    "match_clusters",
    "match_clusters_from",
    "matched_accuracy",
    "mean_assignment_entropy",
    "mean_matched_iou",
    "merged_adjusted_rand_index",
    "merged_tokens",
    "min_token_distance",
    "normalized_mutual_information",
    "normalized_mutual_information_from",
    "participation_ratio",
    "published_collapse",
    "purity",
    "purity_from",
    "silhouette",
    "stable_rank",
    "steps_to_converge",
    "sum_squared_errors",
    "usage_perplexity",
    "v_measure",
    "v_measure_from",
]
