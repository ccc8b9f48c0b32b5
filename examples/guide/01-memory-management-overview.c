/* 01 - Memory management overview: every figure that tri_read_memstats gives, under Go's names. */
#include "guide.h"

int main(void) {
  tri_memstats m;
  tri_read_memstats(&m);

  printf("=== Memory Management Overview ===\n");
  printf("Alloc: %" PRIu64 " KB (bytes allocated now)\n", m.Alloc / 1024);
  printf("TotalAlloc: %" PRIu64 " KB (bytes allocated since start)\n", m.TotalAlloc / 1024);
  printf("Sys: %" PRIu64 " KB (bytes obtained from the system)\n", m.Sys / 1024);
  printf("HeapAlloc: %" PRIu64 " KB (heap bytes)\n", m.HeapAlloc / 1024);
  printf("HeapSys: %" PRIu64 " KB (heap bytes from the system)\n", m.HeapSys / 1024);
  printf("HeapIdle: %" PRIu64 " KB (idle heap)\n", m.HeapIdle / 1024);
  printf("HeapInuse: %" PRIu64 " KB (heap in use)\n", m.HeapInuse / 1024);
  printf("HeapReleased: %" PRIu64 " KB (heap returned to the system)\n", m.HeapReleased / 1024);
  printf("HeapObjects: %" PRIu64 " (live heap objects)\n", m.HeapObjects);
  printf("StackInuse: %" PRIu64 " KB (stack memory)\n", m.StackInuse / 1024);
  printf("StackSys: %" PRIu64 " KB (stack memory from the system)\n", m.StackSys / 1024);
  printf("MSpanInuse: %" PRIu64 " KB (span structures in use)\n", m.MSpanInuse / 1024);
  printf("MSpanSys: %" PRIu64 " KB (span structures from the system)\n", m.MSpanSys / 1024);
  printf("MCacheInuse: %" PRIu64 " KB (cache structures in use)\n", m.MCacheInuse / 1024);
  printf("MCacheSys: %" PRIu64 " KB (cache structures from the system)\n", m.MCacheSys / 1024);
  printf("BuckHashSys: %" PRIu64 " KB (profile hash table)\n", m.BuckHashSys / 1024);
  printf("GCSys: %" PRIu64 " KB (collector metadata)\n", m.GCSys / 1024);
  printf("OtherSys: %" PRIu64 " KB (other)\n", m.OtherSys / 1024);
  printf("NextGC: %" PRIu64 " KB (next collection threshold)\n", m.NextGC / 1024);
  printf("LastGC: %" PRIu64 " (time of the last collection)\n", m.LastGC);
  printf("PauseTotalNs: %" PRIu64 " (total pause)\n", m.PauseTotalNs);
  printf("NumGC: %" PRIu32 " (collections)\n", m.NumGC);
  printf("NumForcedGC: %" PRIu32 " (forced collections)\n", m.NumForcedGC);
  printf("GCCPUFraction: %.6f (fraction of CPU used by the collector)\n", m.GCCPUFraction);
  printf("EnableGC: %s (collector enabled)\n", m.EnableGC ? "true" : "false");
  printf("DebugGC: %s (collector debugging)\n", m.DebugGC ? "true" : "false");
  return 0;
}
