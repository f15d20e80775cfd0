from .io import read_table as read_table, save_table as save_table, write_table as write_table
from .schema import Table as Table
