"""The blueprint: forms, menus, processes, codes and permissions, written once as YAML."""
