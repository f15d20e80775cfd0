"""What several patching methods share: runs with changed inputs, gradients, resumed runs, runs of circuits."""
