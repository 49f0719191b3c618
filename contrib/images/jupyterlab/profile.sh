# SPDX-License-Identifier: Apache-2.0
# JupyterLab's terminals are login shells, and /etc/profile has forgotten where a user's pip puts programs.
PATH=$HOME/.local/bin:$PATH
