"""Reports: plots, sample faces and self-contained pages; never needs torch."""

from mien.report.audit_calibration_plots import abstention_plot, group_reliability
from mien.report.audit_overview_plot import overview_plot
from mien.report.audit_page import render_audit
from mien.report.audit_plots import group_class_heatmap, group_plot
from mien.report.compare_page import render_comparison
from mien.report.figures import figure_svg, save_png
from mien.report.montage import sample_faces
from mien.report.run_page import render_report, save_curves
from mien.report.run_plots import class_bars, confusion_plot, learning_curves, reliability_plot
from mien.report.seeds_page import render_seeds
from mien.report.store_page import render_store

__all__ = [
    "abstention_plot",
    "class_bars",
    "confusion_plot",
    "figure_svg",
    "group_class_heatmap",
    "group_plot",
    "group_reliability",
    "learning_curves",
    "overview_plot",
    "reliability_plot",
    "render_audit",
    "render_comparison",
    "render_report",
    "render_seeds",
    "render_store",
    "sample_faces",
    "save_curves",
    "save_png",
]
