"""Problems and their graphs: read, checked, drawn at random, varied; the tasks besides ProsQA."""
