/* api/link.h - keeps the static library whole: whoever links any public function gets api/link.c, too, which ties the
 * layers together before main. */
#ifndef TRI_API_LINK_H
#define TRI_API_LINK_H

extern const char tri_api_link;
__attribute__((used)) static const char *const tri_api_linked = &tri_api_link;

#endif
