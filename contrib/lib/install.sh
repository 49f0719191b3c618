# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# The install outside the checkout, the configuration, the daemon and the gateway.

write_run_environment() {
    run_environment=("NOTEBOOKD_RUN=$run" "NOTEBOOKD_ENGINE=$run/engine/engine.sock")
}
