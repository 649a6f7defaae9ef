__global__ void scale_kernel(float *data, int n, float by)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n)
        data[i] *= by;
}

extern "C" int scale_launcher(float *data, int n, float by)
{
    scale_kernel<<<(n + 255) / 256, 256>>>(data, n, by);
    return cudaGetLastError();
}
