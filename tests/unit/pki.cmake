# Tokens, the authority's books and judgement, certificates, and joins over real TLS connections.
drover_test(NAME test_token LABEL unit SOURCES unit/test_token.c LIBS drover_pki)
drover_test(NAME test_books LABEL unit SOURCES unit/test_books.c LIBS drover_pki)
drover_test(NAME test_join LABEL unit SOURCES unit/test_join.c LIBS drover_pki)
drover_test(NAME test_rotation LABEL unit SOURCES unit/test_rotation.c LIBS drover_pki)
drover_test(NAME test_revoke LABEL unit SOURCES unit/test_revoke.c LIBS drover_pki)
