"""What everything else uses: parameters, errors, atomic files, progress, the command line of a stage."""
