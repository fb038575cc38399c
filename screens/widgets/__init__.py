"""The parts the screens are composed of. Each shows data it is given and tells what happens to it
by messages; none knows where the data come from."""

from screens.widgets.bars import LayerBars, layer_histogram, sparkline
from screens.widgets.filter_input import FilterInput
from screens.widgets.frame_table import FrameTable
from screens.widgets.head_map import HeadMap
from screens.widgets.legend import Legend
from screens.widgets.progress_line import ProgressLine
from screens.widgets.row_filter import FilterError, parse_filter
from screens.widgets.status_line import StatusItem, StatusLine
from screens.widgets.table_column import TableColumn
from screens.widgets.token_strip import TokenStrip

__all__ = [
    "FilterError",
    "FilterInput",
    "FrameTable",
    "HeadMap",
    "LayerBars",
    "Legend",
    "ProgressLine",
    "StatusItem",
    "StatusLine",
    "TableColumn",
    "TokenStrip",
    "layer_histogram",
    "parse_filter",
    "sparkline",
]
